"""What an app has published, and assertions about it that say what is different."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.task import Task
from celeriac.brokers.memory import MemoryBroker
from celeriac.message import Message
from celeriac.wire.protocol import read_request
from celeriac.wire.reprs import bounded_repr

_SHOWN: Final = 10


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Be one call that was published.

    Attributes:
        task: name of the task.
        args, kwargs: as the worker will get them: tuples are lists by then.
        id: of the call.
        queue: where it went.
        priority: 0 is served first.
        eta_at: unix instant before which it does not start, or None.
        retries: attempts before this one.
        headers: of the message, those that are custom.
    """

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    id: str
    queue: str
    priority: int
    eta_at: float | None
    retries: int
    headers: dict[str, Any]

    def __str__(self) -> str:
        return f"{_call(self.task, self.args, self.kwargs)} in queue {self.queue!r}"


def published(app: Celery, task: Task[..., Any] | str | None = None) -> list[Published]:
    """Return what an app has published, in order: calls, retries and callbacks, also those that have run since.

    The app is a `TestApp`, or is `in_memory`.

    Args:
        task: only its calls; a task or its name.

    Raises:
        RuntimeError: nobody has noted what the app has published.
    """
    name = getattr(task, "name", task)
    return [one for one in (_read(app, message) for message in _noted(app)) if name is None or one.task == name]


def assert_published(app: Celery, task: Task[..., Any] | str, /, *args: Any, **kwargs: Any) -> Published:
    """Assert that a call of a task with exactly these arguments was published, and return the last such call.

    Arguments are compared as the task's function gets them, so `pay(12)` and `pay(amount=12)` are the same where the
    task is known. `unittest.mock.ANY` and the like stand for what is not to be compared. Options are to be asserted of
    what is returned: ``assert_published(app, pay, 12).queue == "payments"``.

    Raises:
        AssertionError: there is none; the text has what was published instead, and what is different about it.
        RuntimeError: nobody has noted what the app has published.
    """
    name = task if isinstance(task, str) else task.name
    calls = published(app)
    bind = _binder(app, name)
    wanted = bind(args, kwargs)
    same = [one for one in calls if one.task == name and _are_same(wanted, bind(one.args, one.kwargs))]
    if same:
        return same[-1]
    raise AssertionError("\n".join(_difference(name, args, kwargs, wanted, calls, bind)))


def assert_not_published(app: Celery, task: Task[..., Any] | str | None = None) -> None:
    """Assert that no call of a task, or of any, was published.

    Raises:
        AssertionError: there are some; the text has them.
        RuntimeError: nobody has noted what the app has published.
    """
    calls = published(app, task)
    if calls:
        what = "nothing" if task is None else f"no call of {getattr(task, 'name', task)}"
        raise AssertionError("\n".join([f"{what} was to be published; there are:", *_listed(calls)]))


def _noted(app: Celery) -> list[Message]:
    broker = app.broker
    noted = broker.store.published if isinstance(broker, MemoryBroker) else None
    if noted is None:
        raise RuntimeError(
            f"nobody notes what is published to {broker.url}: make the app with celeriac.testing.TestApp, or put the "
            "test into `with celeriac.testing.in_memory(app):`"
        )
    return list(noted)


def _read(app: Celery, message: Message) -> Published:
    request = read_request(message, limits=app.conf.limits, accept=app.conf.accept)
    return Published(
        task=request.task,
        args=list(request.args),
        kwargs=dict(request.kwargs),
        id=request.id,
        queue=message.queue,
        priority=message.priority,
        eta_at=message.eta_at,
        retries=request.retries,
        headers=dict(request.headers),
    )


Arguments = Mapping[str, Any]
Bind = Callable[[Sequence[Any], Mapping[str, Any]], Arguments]


def _binder(app: Celery, name: str) -> Bind:
    """Return what gives arguments the names of a task's parameters; numbers where they fit none."""
    task = app.tasks.get(name)
    signature = None if task is None else inspect.signature(task.run)

    def bind(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        if signature is not None:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                pass
            else:
                bound.apply_defaults()
                return bound.arguments
        return {**{str(position): value for position, value in enumerate(args)}, **kwargs}

    return bind


def _are_same(wanted: Any, found: Any) -> bool:
    """Compare as after a journey through JSON, where a tuple has become a list."""
    if isinstance(wanted, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(wanted) == len(found) and all(map(_are_same, wanted, found))
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_are_same(wanted[key], found[key]) for key in wanted)
    return bool(wanted == found)


def _difference(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    wanted: Arguments,
    calls: Sequence[Published],
    bind: Bind,
) -> Iterator[str]:
    yield f"{_call(name, args, kwargs)} was not published"
    of_task = [one for one in calls if one.task == name]
    for one in of_task[-_SHOWN:]:
        yield f"  but {one}"
        yield from _differences(wanted, bind(one.args, one.kwargs))
    if not of_task:
        yield "  nor anything else" if not calls else f"  nor any call of {name}; there are:"
        yield from _listed(calls)


def _differences(wanted: Arguments, found: Arguments) -> Iterator[str]:
    for key in dict.fromkeys((*wanted, *found)):
        if key not in found:
            yield f"    {key}: {bounded_repr(wanted[key])} is missing"
        elif key not in wanted:
            yield f"    {key}: {bounded_repr(found[key])} is too much"
        elif not _are_same(wanted[key], found[key]):
            yield f"    {key}: {bounded_repr(found[key])} instead of {bounded_repr(wanted[key])}"


def _listed(calls: Sequence[Published]) -> Iterator[str]:
    if len(calls) > _SHOWN:
        yield f"  ... {len(calls) - _SHOWN} before these"
    yield from (f"  {one}" for one in calls[-_SHOWN:])


def _call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    shown = [*map(bounded_repr, args), *(f"{key}={bounded_repr(value)}" for key, value in kwargs.items())]
    return f"{name}({', '.join(shown)})"
