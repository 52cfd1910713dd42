"""What follows a run: callbacks after success, errbacks after failure. Plans, nothing is published from here.

The messages are published together with the outcome of the run, in the transaction that settles it where broker and
results are one store; so a crash leaves both or neither.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.app.composing import note_result
from celeriac.app.context import Context
from celeriac.canvas.group import group
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.exceptions import DecodeError
from celeriac.ids import new_id
from celeriac.message import Message
from celeriac.wire.steps import Steps

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.send import Sender
    from celeriac.app.task import Task

logger: Final = logging.getLogger("celeriac.trace")


class InlineErrback(NamedTuple):
    """Be an errback that is called in the process that recorded the failure, instead of being sent.

    Attributes:
        task: is neither bound nor a class with a `run` of its own.
        call: the signature; what it stores comes behind the three arguments, unless it is immutable.
    """

    task: Task[..., Any]
    call: Signature[Any]

    def __call__(self, request: Context, exc: BaseException, traceback: str | None) -> Any:
        """Call it, and return what it returns: a coroutine when the task is one."""
        if self.call.immutable:
            return self.task(*self.call.args, **self.call.kwargs)
        return self.task(request, exc, traceback, *self.call.args, **self.call.kwargs)


def check_following(task_name: str, request: Any) -> None:
    """Refuse a message that asks for what cannot be made to follow its run.

    Args:
        request: anything with the attributes `id`, `callbacks`, `errbacks`, `chain` and `chord` of a message.

    Raises:
        DecodeError: a callback, or the body of its chord, is no signature.
    """
    if not (request.callbacks or request.errbacks or request.chain or request.chord):
        return
    carried = []
    for name in ("callbacks", "errbacks", "chain", "chord"):
        said = getattr(request, name) or ()
        if isinstance(said, Steps) and said.are_signatures(Signature.TYPES):
            continue
        for each in (said,) if name == "chord" and said else said:
            if not isinstance(each, Mapping) or not isinstance(each.get("task"), str):
                raise DecodeError(
                    f"{name} of message {request.id} of task {task_name!r} are no signatures: {each!r:.80}"
                )
            kind = each.get("subtask_type")
            if kind and kind not in Signature.TYPES:
                carried.append(f"a {kind} among its {name}")
    if carried:
        raise DecodeError(
            f"message {request.id} of task {task_name!r} carries {', '.join(carried)}, which this version of "
            "celeriac does not run; replay it after an upgrade: celeriac dlq replay"
        )


def callbacks_due(context: Context, value: Any, *, app: Celery) -> list[Signature[Any]]:
    """Return the callbacks of a run that returned `value`, complete: arguments, parents, and a group of several.

    Those that are groups themselves are left out of that group.
    """
    calls = _signatures(context.callbacks, app)
    if not any(isinstance(call, group) for call in calls):
        return _grouped(calls, context, value)
    groups = [call for call in calls if isinstance(call, group)]
    others = [call for call in calls if not isinstance(call, group)]
    alone = [each for call in groups for each in _grouped([call], context, value)]
    return alone + _grouped(others, context, value)


def next_step(context: Context, *, app: Celery) -> tuple[Signature[Any], dict[str, Any]] | None:
    """Return the step of its chain that follows a run, and the options that it is sent with; None after the last."""
    if not context.chain:
        return None
    rest, following = _next_of(context.chain)
    [call] = _signatures([following], app)
    return call, {"chain": rest, **_parents_of(context)}


def _next_of(chain: Sequence[Any]) -> tuple[Sequence[Any], Any]:
    if isinstance(chain, Steps):
        return chain.without_last()
    return chain[:-1], chain[-1]


def errbacks_due(context: Context, *, app: Celery) -> tuple[list[Signature[Any]], list[InlineErrback]]:
    """Return the errbacks of a run that failed: those to be sent, complete, and those to be called here.

    An errback is called here, with the request, the exception and the traceback, when its task is registered here, is
    a plain function and has room for more than one argument. The others are sent, with the id of the failed run.
    """
    sent: list[Signature[Any]] = []
    inline: list[InlineErrback] = []
    for call in _signatures(context.errbacks, app):
        task = app.tasks.get(call.task)
        if task is not None and type(call) is Signature and _is_called_here(task, call):
            inline.append(InlineErrback(task, call))
        else:
            sent.append(call)
    return _grouped(sent, context, context.id, always=True), inline


def after_success(context: Context, value: Any, *, sender: Sender) -> list[Message]:
    """Make the messages of a run's callbacks and of the next step of its chain, and note them among its children.

    Raises:
        EncodeError: the value cannot be carried, or an option of a callback is not what it may be: the run has failed.
    """
    app = sender.app
    messages: list[Message] = []
    results = []
    for call in callbacks_due(context, value, app=app):
        made, result = app.canvas.following(call, None, {}, context)
        messages += made
        results.append(result)
    step = next_step(context, app=app)
    if step is not None:
        made, result = app.canvas.following(step[0], (value,), step[1], context)
        messages += made
        results.append(result)
    if context.current is None or context.current.trail:
        for result in results:
            if result is not None:
                note_result(context, result)
    return messages


def after_failure(context: Context, exc: BaseException, *, app: Celery) -> tuple[list[Message], list[InlineErrback]]:
    """Make the messages of a run's errbacks, and return those that are to be called instead (`call_inline`).

    An errback that cannot be sent is logged and left out: nothing is left that it could make fail.
    """
    if not context.errbacks:
        return [], []
    sent, inline = errbacks_due(context, app=app)
    messages = []
    for call in sent:
        try:
            messages += app.canvas.following(call, None, {}, context)[0]
        except Exception:
            logger.exception(
                "Errback %r of task %s[%s], which raised %r, cannot be sent", call.task, context.task, context.id, exc
            )
    return messages, inline


async def call_inline(
    errbacks: Iterable[InlineErrback],
    context: Context,
    exc: BaseException,
    traceback: str | None,
    *,
    wait_for: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]],
) -> None:
    """Call errbacks one after the other; what one raises is logged, and the next one is called.

    Args:
        context: of the failed run, which they get as the request.
        traceback: its text.
        wait_for: runs what an ``async def`` errback returns, to its end.
    """
    for errback in errbacks:
        try:
            returned = errback(context, exc, traceback)
            if inspect.iscoroutine(returned):
                await wait_for(returned)
        except Exception:
            logger.exception("Errback %r of task %s[%s] raised", errback.task.name, context.task, context.id)


def _signatures(carried: Iterable[Any] | None, app: Celery) -> list[Signature[Any]]:
    """Make signatures of what a message carried, for this app; what belongs to an app already keeps it."""
    return [each.clone() if isinstance(each, Signature) else maybe_signature(each, app=app) for each in carried or ()]


def _grouped(
    calls: list[Signature[Any]], context: Context, first: Any, *, always: bool = False
) -> list[Signature[Any]]:
    """Give each call its first argument and its parents; several calls, or `always` one too, become a group."""
    parents = _parents_of(context)
    groups: list[dict[str, Any]] = [{}]
    if always or len(calls) > 1:
        group_id = new_id()
        groups = [{"group_id": group_id, "group_index": index} for index in range(len(calls))]
    return [call.clone((first,), **parents, **group) for call, group in zip(calls, groups, strict=False)]


def _parents_of(context: Context) -> dict[str, Any]:
    return {"parent_id": context.id, "root_id": context.root_id or context.id}


def _is_called_here(task: Task[..., Any], call: Signature[Any]) -> bool:
    run = task.run
    if inspect.ismethod(run):
        return False
    if not call.immutable and (call.args or call.kwargs):
        try:
            return _has_room(partial(run, *call.args, **call.kwargs))
        except (TypeError, ValueError):
            pass  # it does not fit, which is for the call to say
    return _has_room(run)


def _has_room(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    by_place = sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
    return by_place > 1 or any(each.kind is each.VAR_POSITIONAL for each in parameters)
