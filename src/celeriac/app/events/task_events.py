"""The events of tasks, as a node writes them: each a JSON object. Pure.

With events on there are three of them per run, so they are put together as text, and go through no dict: 2 µs for what
the headers of a message say, 1 µs for each of the others. What a body came to was written by its child.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from celeriac.app.hiding import hiding_of
from celeriac.app.task import Task
from celeriac.exceptions import CeleriacError
from celeriac.message import Message
from celeriac.wire.jsontypes import dumps_text
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import read_intake, read_request
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON_CONTENT

TEXT_MAX_CHARS: Final = 16 * 1024
"""Characters of a traceback, or of an exception, in an event."""

_SHOWN_MAX_CHARS: Final = 2 * 1024
_HIDDEN: Final = "<hidden>"

Says = tuple[str, str]
"""Type of an event, and its own fields after the uuid, as JSON without the braces: each begins with a comma."""


class _Shown(msgspec.Struct, gc=False):
    """Read what headers say of a message for people."""

    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retries: int = 0
    eta: str | None = None
    expires: str | None = None


class _Received(msgspec.Struct, frozen=True, gc=False):
    """Name the fields of a received message, in Celery's order."""

    name: str
    args: str | None
    kwargs: str | None
    root_id: str | None
    parent_id: str | None
    retries: int
    eta: str | None
    expires: str | None


class _Sent(msgspec.Struct, frozen=True, gc=False):
    """Name those of one that was sent."""

    root_id: str | None
    parent_id: str | None
    name: str
    args: str | None
    kwargs: str | None
    retries: int
    eta: str | None
    expires: str | None
    queue: str
    exchange: str
    routing_key: str


_NOTHING: Final = _Shown()
_read: Final = msgspec.json.Decoder(_Shown).decode
_write: Final = msgspec.json.Encoder().encode


def head_of(hostname: str, *, utcoffset: float, pid: int) -> str:
    """Return what all events of a node begin with, up to the number of the logical clock."""
    return f'{{"hostname":{quoted(hostname)},"utcoffset":{utcoffset},"pid":{pid},"clock":'


def event(head: str, clock: int, uuid: str, says: Says, at: float) -> str:
    """Put one together.

    Args:
        uuid: the task's id, as JSON.
        at: unix instant.
    """
    kind, fields = says
    return f'{head}{clock},"uuid":{uuid}{fields},"timestamp":{at},"type":"{kind}"}}'


def quoted(text: str) -> str:
    """Write a text as JSON."""
    return _write(text).decode() if text.isascii() else dumps_text(text)


STARTED: Final[Says] = ("task-started", "")


def received(message: Message, name: str, task: Task[..., Any] | None, *, limits: Limits) -> Says:
    """Tell that a node has a message.

    Args:
        name: of its task.
        task: None where it is not known; then nothing of it is hidden.
    """
    shown = _shown(message, task, limits=limits)
    return "task-received", _fields(
        _Received(
            shown.shadow or name,
            shown.argsrepr,
            shown.kwargsrepr,
            shown.root_id,
            shown.parent_id,
            shown.retries,
            shown.eta,
            shown.expires,
        )
    )


def sent(message: Message, name: str, task: Task[..., Any] | None, *, limits: Limits) -> Says:
    """Tell that a message was published."""
    shown, route = _shown(message, task, limits=limits), message.route
    exchange, key = ("", message.queue) if route is None else (route.exchange, route.routing_key)
    return "task-sent", _fields(
        _Sent(
            shown.root_id,
            shown.parent_id,
            name,
            shown.argsrepr,
            shown.kwargsrepr,
            shown.retries,
            shown.eta,
            shown.expires,
            message.queue,
            exchange,
            key,
        )
    )


def _fields(named: msgspec.Struct) -> str:
    return f",{_write(named)[1:-1].decode()}"


def told_sent(message: Message, tasks: Mapping[str, Task[..., Any]], *, limits: Limits) -> Says | None:
    """Tell likewise, with the task looked up; None of a message that cannot be read, or is no task's."""
    try:
        name = read_intake(message, limits=limits).task
    except CeleriacError:
        return None
    return sent(message, name, tasks.get(name), limits=limits)


def sender_name() -> str:
    """Return what a program calls itself in events: ``gen<pid>@<host>``."""
    return f"gen{os.getpid()}@{socket.gethostname()}"


def told_success(value: Any, runtime: float, *, limit: int) -> str:
    """Write what a child tells of a run that has returned."""
    result = quoted(bounded_repr(value, limit=limit))
    return f',"result":{result},"runtime":{runtime if math.isfinite(runtime) else 0.0}'


def told_failure(exc: BaseException, traceback: str | None) -> str:
    """Write what is told of a run that has raised; of a retry, what it was because of."""
    shown = quoted(_cut(bounded_repr(exc, limit=TEXT_MAX_CHARS), TEXT_MAX_CHARS))
    if traceback is None:
        return f',"exception":{shown}'
    return f',"exception":{shown},"traceback":{quoted(_cut(traceback, TEXT_MAX_CHARS))}'


def succeeded(told: str) -> Says:
    """Tell that a run has returned."""
    return "task-succeeded", told


def failed(told: str) -> Says:
    """Tell that a run has failed."""
    return "task-failed", told


def retried(told: str) -> Says:
    """Tell that a run is to be tried again."""
    return "task-retried", told


def rejected(*, requeue: bool) -> Says:
    """Tell that a message was given back, or buried."""
    return "task-rejected", f',"requeue":{_bool(requeue)}'


def revoked(*, terminated: bool = False, signum: int | str | None = None, expired: bool = False) -> Says:
    """Tell that nobody wants a run any more."""
    number = dumps_text(signum)
    return "task-revoked", f',"terminated":{_bool(terminated)},"signum":{number},"expired":{_bool(expired)}'


def _shown(message: Message, task: Task[..., Any] | None, *, limits: Limits) -> _Shown:
    """Read what people may see of a message, cut to a size that does not burden them."""
    try:
        shown = _read(message.headers)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        shown = _NOTHING
    if len(message.headers) > _SHOWN_MAX_CHARS:
        shown = _Shown(*(_cut(value, _SHOWN_MAX_CHARS) for value in msgspec.structs.astuple(shown)))
    hiding = None if task is None or not task.sensitive else hiding_of(task)
    if hiding is None and shown.argsrepr is not None:
        return shown
    args, kwargs = _HIDDEN, _HIDDEN
    if message.content_type == JSON_CONTENT:  # a pickle is not opened for this
        try:
            request = read_request(message, limits=limits)
        except CeleriacError:
            return msgspec.structs.replace(shown, argsrepr=args, kwargsrepr=kwargs)
        told_args, told_kwargs = tuple(request.args), request.kwargs
        if hiding is not None:
            told_args, told_kwargs = hiding.hide(told_args, told_kwargs)
        args, kwargs = bounded_repr(told_args), bounded_repr(told_kwargs)
    return msgspec.structs.replace(shown, argsrepr=args, kwargsrepr=kwargs)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _cut(value: Any, most: int) -> Any:
    return value if not isinstance(value, str) or len(value) <= most else f"{value[:most]}..."
