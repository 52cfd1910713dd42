"""The signals of a node's life, in the order and with the arguments of Celery's."""

from __future__ import annotations

import logging
from typing import Final

from celeriac.app.signals import (
    celeryd_after_setup,
    celeryd_init,
    heartbeat_sent,
    worker_before_create_process,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from celeriac.worker.announcing import Announcer
from celeriac.worker.instance import Worker

logger: Final = logging.getLogger("celeriac.worker")


def say_configured(worker: Worker) -> None:
    """Tell that the app is imported; receivers may change its settings, for this node."""
    if celeryd_init.receivers:
        name, conf = worker.hostname, worker.app.conf
        celeryd_init.send(sender=name, instance=worker, conf=conf, options=worker.options())


def say_init(worker: Worker) -> None:
    """Tell that the node is about to be set up."""
    worker_init.send(sender=worker)


def say_set_up(worker: Worker) -> None:
    """Tell that it is set up; receivers may still add queues."""
    celeryd_after_setup.send(sender=worker.hostname, instance=worker, conf=worker.app.conf)


def say_before_fork(worker: Worker) -> None:
    """Tell, in the process that forks children, that it forks one."""
    worker_before_create_process.send(sender=worker)


def say_process_init(worker: Worker) -> None:
    """Tell, in a process that runs bodies, that it begins."""
    worker_process_init.send(sender=worker.hostname)


def say_process_shutdown(worker: Worker, exitcode: int) -> None:
    """Tell, in a child, that it ends."""
    worker_process_shutdown.send(sender=worker.hostname, pid=worker.pid, exitcode=exitcode)


class NodeSignals:
    """Tell what happens to a node while its loop runs, beside the loop.

    Args:
        worker: the sender; None where there is no node of its own, and then nobody is told.
        announcer: calls the receivers.
    """

    def __init__(self, worker: Worker | None, announcer: Announcer) -> None:
        self._worker = worker
        self._announcer = announcer

    def ready(self) -> None:
        """Tell that it takes work."""
        if self._worker is not None and worker_ready.receivers:
            self._announcer.say("worker_ready", lambda: worker_ready.send(sender=self._worker))

    def beat(self) -> None:
        """Tell that its peers know that it lives."""
        if self._worker is not None and heartbeat_sent.receivers:
            self._announcer.say("heartbeat_sent", lambda: heartbeat_sent.send(sender=self._worker))

    def shutting_down(self, sig: str, how: str, exitcode: int) -> None:
        """Tell that a signal of the system stops it.

        Args:
            how: "Warm" or "Cold".
        """
        worker = self._worker
        if worker is not None and worker_shutting_down.receivers:
            self._announcer.say(
                "worker_shutting_down",
                lambda: worker_shutting_down.send(sender=worker.hostname, sig=sig, how=how, exitcode=exitcode),
            )

    def shut_down(self) -> None:
        """Tell that it has stopped, and its process ends."""
        if self._worker is not None and worker_shutdown.receivers:
            self._announcer.say("worker_shutdown", lambda: worker_shutdown.send(sender=self._worker))
