"""How a run is tried again: with which arguments, and, when it happens by itself, after how long. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.exceptions import Ignore, Reject, Retry

if TYPE_CHECKING:
    from celeriac.app.context import Context
    from celeriac.app.task import Task


class EagerRetry(msgspec.Struct, frozen=True):
    """Ask for the next attempt of a run that happens in the calling process."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]


def automatic_retry(task: Task[..., Any], context: Context, exc: BaseException) -> dict[str, Any] | None:
    """Return what `Task.retry` is to be called with because a body raised `exc`; None when it is not to be called.

    The source of the rules is Celery's `autoretry_for` and its neighbours.
    """
    if not isinstance(exc, task.autoretry_for) or isinstance(exc, (Ignore, Reject, Retry, *task.dont_autoretry_for)):
        return None
    said = dict(task.retry_kwargs)
    if task.retry_backoff:
        said["countdown"] = backoff_delay(
            factor=int(max(1.0, float(task.retry_backoff))),
            retries=context.retries,
            maximum=int(task.retry_backoff_max),
            jitter=task.retry_jitter,
        )
    limit = context.max_retries
    if limit is None:
        limit = getattr(task, "override_max_retries", None)  # what programs set from outside, as with Celery
    if limit is not None:
        said["max_retries"] = limit
    return said | {"exc": exc}


def backoff_delay(*, factor: int, retries: int, maximum: int, jitter: bool) -> int:
    """Return the seconds before an automatic retry: factor × 2^retries up to a maximum, or a random part of that."""
    delay: int = min(maximum, factor * 2 ** min(retries, 64))
    return random.randrange(delay + 1) if jitter else delay


def arguments_of_retry(
    body: Callable[..., Any], context: Context, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments of the next attempt: those given, completed from this attempt where they do not conflict.

    An argument may move: given by name now and by place before, or the other way round.
    """
    if args is None and kwargs is None:
        return context.args, context.kwargs
    if args is not None and kwargs is not None:
        return args, kwargs
    try:
        parameters = signature(body).parameters
    except (TypeError, ValueError):
        return context.args if args is None else args, context.kwargs if kwargs is None else kwargs
    if args is not None:
        return args, _not_given_by_place(args, context.kwargs, parameters)
    return _placed_anew(context.args, kwargs or {}, parameters)


def _not_given_by_place(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Return the inherited names that the new positional arguments leave free."""
    by_place = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken = {p.name for p in by_place[: len(args)] if p.kind is p.POSITIONAL_OR_KEYWORD}
    return {name: value for name, value in kwargs.items() if name not in taken}


def _placed_anew(
    args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Let new named arguments replace inherited positional ones of the same parameters."""
    placed, named = list(args), dict(kwargs)
    for index, parameter in enumerate(parameters.values()):
        if index >= len(placed) or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY):
            break
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name in named:
            placed[index] = named.pop(parameter.name)
    return placed, named
