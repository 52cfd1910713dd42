"""Calls that follow a run and are sent by code of users: an `apply_async` or a `send_task` of their own.

Such code may add headers, take a lock, or send nothing. It is called as for any call, and comes to `Sender.send` with
the id that it was given; the message is caught there, and published with the outcome of the run. What it sends with
another id, or from another thread, is published at once, as any call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from celeriac.app.context import Context
from celeriac.message import Message


class CaughtCall:
    """Hold what is sent of one call.

    Args:
        task_id: of the call.
        parent: the run that it follows.

    Attributes:
        messages: one for each time that it was sent.
    """

    def __init__(self, task_id: str, parent: Context) -> None:
        self.task_id = task_id
        self.parent = parent
        self.messages: list[Message] = []


_CALL: Final[ContextVar[CaughtCall | None]] = ContextVar("celeriac_caught_call", default=None)


def caught_call(task_id: str | None) -> CaughtCall | None:
    """Return what holds the messages of a call of that id; None where it is to be published at once."""
    if task_id is None:
        return None
    call = _CALL.get()
    return call if call is not None and call.task_id == task_id else None


@contextmanager
def catching(call: CaughtCall) -> Iterator[None]:
    """Catch that call for the length of a `with` block."""
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)
