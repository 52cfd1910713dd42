"""The events of tasks, as a node writes them: each a JSON object in bytes. Pure.

Written by hand, because with events on there are three of them per run: what a message's headers say is copied from
them as it stands there, and what a body came to was written by its child.
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
from celeriac.wire.jsontypes import dumps, dumps_text, loads
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import read_intake, read_request
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON_CONTENT

TEXT_MAX_CHARS: Final = 16 * 1024
"""Characters of a traceback, or of an exception, in an event."""

_RAW_MAX_BYTES: Final = 4 * 1024
_NULL: Final = b"null"
_HIDDEN: Final = b'"<hidden>"'

Says = tuple[bytes, bytes]
"""Type of an event, and its own fields after the uuid, as JSON without the braces: each begins with a comma."""


class _Shown(msgspec.Struct, gc=False):
    """Keep what headers say of a message, as it is written there."""

    shadow: msgspec.Raw = msgspec.Raw(_NULL)
    argsrepr: msgspec.Raw = msgspec.Raw(_NULL)
    kwargsrepr: msgspec.Raw = msgspec.Raw(_NULL)
    root_id: msgspec.Raw = msgspec.Raw(_NULL)
    parent_id: msgspec.Raw = msgspec.Raw(_NULL)
    retries: msgspec.Raw = msgspec.Raw(b"0")
    eta: msgspec.Raw = msgspec.Raw(_NULL)
    expires: msgspec.Raw = msgspec.Raw(_NULL)


_NOTHING: Final = _Shown()
_read: Final = msgspec.json.Decoder(_Shown).decode


def head_of(hostname: str, *, utcoffset: float, pid: int) -> bytes:
    """Return what all events of a node begin with, up to the number of the logical clock."""
    return b'{"hostname": %b, "utcoffset": %a, "pid": %d, "clock": ' % (dumps(hostname), utcoffset, pid)


def event(head: bytes, clock: int, uuid: bytes, says: Says, at: float) -> bytes:
    """Put one together.

    Args:
        uuid: the task's id, as JSON.
        at: unix instant.
    """
    kind, fields = says
    return b'%b%d, "uuid": %b%b, "timestamp": %a, "type": "%b"}' % (head, clock, uuid, fields, at, kind)


def quoted(text: str) -> bytes:
    """Write a text as JSON, without letters beyond ASCII."""
    return dumps(text)


STARTED: Final[Says] = (b"task-started", b"")


def received(message: Message, name: str, task: Task[..., Any] | None, *, limits: Limits) -> Says:
    """Tell that a node has a message.

    Args:
        name: of its task.
        task: None where it is not known; then nothing of it is hidden.
    """
    shown, args, kwargs = _shown(message, task, limits=limits)
    return (
        b"task-received",
        b', "name": %b, "args": %b, "kwargs": %b, "root_id": %b, "parent_id": %b, "retries": %b, "eta": %b, '
        b'"expires": %b'
        % (
            _text(shown.shadow, quoted(name)),
            args,
            kwargs,
            _text(shown.root_id),
            _text(shown.parent_id),
            _count(shown.retries),
            _text(shown.eta),
            _text(shown.expires),
        ),
    )


def sent(message: Message, name: str, task: Task[..., Any] | None, *, limits: Limits) -> Says:
    """Tell that a message was published."""
    shown, args, kwargs = _shown(message, task, limits=limits)
    queue = quoted(message.queue)
    return (
        b"task-sent",
        b', "root_id": %b, "parent_id": %b, "name": %b, "args": %b, "kwargs": %b, "retries": %b, "eta": %b, '
        b'"expires": %b, "queue": %b, "exchange": "", "routing_key": %b'
        % (
            _text(shown.root_id),
            _text(shown.parent_id),
            quoted(name),
            args,
            kwargs,
            _count(shown.retries),
            _text(shown.eta),
            _text(shown.expires),
            queue,
            queue,
        ),
    )


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


def told_success(value: Any, runtime: float, *, limit: int) -> bytes:
    """Write what a child tells of a run that has returned."""
    result = dumps(bounded_repr(value, limit=limit))
    return b', "result": %b, "runtime": %a' % (result, runtime if math.isfinite(runtime) else 0.0)


def told_failure(exc: BaseException, traceback: str | None) -> bytes:
    """Write what is told of a run that has raised; of a retry, what it was because of."""
    shown = dumps(_cut(bounded_repr(exc, limit=TEXT_MAX_CHARS)))
    if traceback is None:
        return b', "exception": %b' % shown
    return b', "exception": %b, "traceback": %b' % (shown, dumps(_cut(traceback)))


def succeeded(told: bytes) -> Says:
    """Tell that a run has returned."""
    return b"task-succeeded", told


def failed(told: bytes) -> Says:
    """Tell that a run has failed."""
    return b"task-failed", told


def retried(told: bytes) -> Says:
    """Tell that a run is to be tried again."""
    return b"task-retried", told


def rejected(*, requeue: bool) -> Says:
    """Tell that a message was given back, or buried."""
    return b"task-rejected", b', "requeue": %b' % _bool(requeue)


def revoked(*, terminated: bool = False, signum: int | str | None = None, expired: bool = False) -> Says:
    """Tell that nobody wants a run any more."""
    return (
        b"task-revoked",
        b', "terminated": %b, "signum": %b, "expired": %b' % (_bool(terminated), dumps(signum), _bool(expired)),
    )


def _shown(message: Message, task: Task[..., Any] | None, *, limits: Limits) -> tuple[_Shown, bytes, bytes]:
    try:
        shown = _read(message.headers)
    except msgspec.MsgspecError:
        shown = _NOTHING
    hiding = None if task is None or not task.sensitive else hiding_of(task)
    if hiding is None and shown.argsrepr != _NULL:
        return shown, _text(shown.argsrepr), _text(shown.kwargsrepr)
    if message.content_type != JSON_CONTENT:  # a pickle is not opened for this
        return shown, *((_NULL, _NULL) if hiding is None else (_HIDDEN, _HIDDEN))
    try:
        request = read_request(message, limits=limits)
    except CeleriacError:
        return shown, _HIDDEN, _HIDDEN
    args, kwargs = tuple(request.args), request.kwargs
    if hiding is not None:
        args, kwargs = hiding.hide(args, kwargs)
    return shown, dumps(bounded_repr(args)), dumps(bounded_repr(kwargs))


def _text(raw: msgspec.Raw, default: bytes = _NULL) -> bytes:
    """Return a JSON text as it stands in headers; `default` where there is something else."""
    found = bytes(raw)
    if found[:1] != b'"':
        return default
    if len(found) <= _RAW_MAX_BYTES and found.isascii():
        return found
    try:
        text = loads(found)
        return dumps_text(text[:_RAW_MAX_BYTES]).encode()
    except (CeleriacError, UnicodeError):
        return default


def _count(raw: msgspec.Raw) -> bytes:
    found = bytes(raw)
    return found if len(found) <= 9 and found.isdigit() else b"0"


def _bool(value: bool) -> bytes:
    return b"true" if value else b"false"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX_CHARS else f"{text[:TEXT_MAX_CHARS]}..."
