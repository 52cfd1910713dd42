"""The signal `task_revoked`, sent by the supervisor: the run has no process of its own."""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.signals import task_revoked
from celeriac.message import Message
from celeriac.worker.announcing import Announcer
from celeriac.worker.message_signals import request_of

_NAME: Final = "task_revoked"


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
        announcer: calls the receivers.
    """

    def __init__(self, app: Celery, node: str, announcer: Announcer) -> None:
        self._app = app
        self._node = node
        self._announcer = announcer

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
        if task_revoked.receivers:
            said = Revoked(task, message, terminated, signum, expired)
            self._announcer.say(_NAME, lambda: self._tell(said))

    def _tell(self, said: Revoked) -> None:
        task = self._app.tasks.get(said.task)
        request = request_of(said.message, task, node=self._node, limits=self._app.conf.limits)
        task_revoked.send(
            sender=task, request=request, terminated=said.terminated, signum=said.signum, expired=said.expired
        )
