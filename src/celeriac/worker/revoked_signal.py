"""The signal `task_revoked`, sent by the supervisor: the run has no process of its own.

Receivers are code of users. They are called one after another in a thread of their own, so that none of them can cost
the node its lease.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.signals import task_revoked
from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.headers import read_headers
from celeriac.wire.protocol import TaskRequest, read_request

logger: Final = logging.getLogger("celeriac.worker")

_WAITING_MAX: Final = 10_000


class Revoked(msgspec.Struct, frozen=True):
    """Say of a message that its run was revoked; see `celeriac.signals.task_revoked`."""

    task: str
    message: Message
    terminated: bool
    signum: int | str | None
    expired: bool


class RevokedSignal:
    """Tell the receivers of `task_revoked`.

    Args:
        app: its tasks are the senders.
        node: name of this node, for requests.
    """

    def __init__(self, app: Celery, node: str) -> None:
        self._app = app
        self._node = node
        self._waiting: queue.Queue[Revoked | None] = queue.Queue(_WAITING_MAX)
        self._thread: threading.Thread | None = None

    def send(
        self, message: Message, task: str, *, terminated: bool = False, signum: int | str | None = None, expired: bool
    ) -> None:
        """Have the receivers called, if there are any; never waits.

        Args:
            task: name of the task.
            terminated: the run was under way, and was ended.
            signum: the signal that ended it, or None.
            expired: nobody revoked it; its time was over.
        """
        if not task_revoked.receivers:
            return
        try:
            self._waiting.put_nowait(Revoked(task, message, terminated, signum, expired))
        except queue.Full:
            logger.warning("receivers of task_revoked are too slow: they are not told of %s", message.task_id)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="task_revoked", daemon=True)
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """Wait, for at most so many seconds, until all have been told. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(timeout)

    def _run(self) -> None:
        while (said := self._waiting.get()) is not None:
            try:
                self._tell(said)
            except Exception:
                logger.exception("the receivers of task_revoked were not told of %s", said.message.task_id)

    def _tell(self, said: Revoked) -> None:
        task = self._app.tasks.get(said.task)
        request = Context.from_request(
            self._read(said.message), task=task, queue=said.message.queue, hostname=self._node
        )
        task_revoked.send(
            sender=task, request=request, terminated=said.terminated, signum=said.signum, expired=said.expired
        )

    def _read(self, message: Message) -> TaskRequest:
        """Read what the message asks for: all of it where it is JSON, else the headers. No pickle is opened here."""
        limits = self._app.conf.limits
        try:
            return read_request(message, limits=limits)
        except DecodeError:
            headers, custom, _ = read_headers(message.headers, limits=limits)
            return TaskRequest(**msgspec.structs.asdict(headers), headers=custom, priority=message.priority)
