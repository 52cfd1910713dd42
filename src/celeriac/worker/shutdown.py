"""When a node stops, how urgently, and with which exit code. The supervisor stops its parts then."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Final

from celeriac.worker.node_signals import NodeSignals
from celeriac.worker.start import Plan
from celeriac.worker.stopping import Stage, Stopping

logger: Final = logging.getLogger("celeriac.worker")

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_RESTART: Final = 88
"""Not the end: whoever started the node is to start it again, as it was."""


class Shutdown:
    """Hear who wants a node to stop: signals, commands, its own parts. Everything is called in the loop's thread.

    Args:
        plan: how long what runs may take, and who is told.
        signals: tells receivers of signals.
        begin_no_more: called when the stop begins, unless it is cold: from then on no run may begin. May be called
            again.
        kill: kills whatever runs.

    Attributes:
        begun: set from when on the node is to stop.
        cold: set from when on nothing is waited for that runs.
        exit_code: what the node ends with, as of now.
    """

    def __init__(
        self, plan: Plan, signals: NodeSignals, *, begin_no_more: Callable[[], None], kill: Callable[[], None]
    ) -> None:
        self._plan = plan
        self._signals = signals
        self._begin_no_more = begin_no_more
        self._kill = kill
        self._stopping = Stopping(soft_timeout=plan.soft_stop, term_is=plan.term_is)
        self._until: float | None = None
        self.begun = asyncio.Event()
        self.cold = asyncio.Event()
        self.exit_code = EXIT_DONE

    def stop(self) -> None:
        """Stop warmly. May be called again."""
        self._stopping.note_stop()
        self._begin_no_more()
        self.begun.set()

    def restart(self, why: str) -> None:
        """Stop warmly, and have the node started again; nothing when it stops already."""
        if not self.begun.is_set():
            self._plan.say(f"{why}: restarting; running tasks end first")
            self.exit_code = EXIT_RESTART
            self.stop()

    def reload(self, path: str) -> None:
        """Stop warmly, and have the node started again, because a source has changed."""
        self.restart(f"{path} has changed")

    def end_burst(self, left: str) -> None:
        """Stop warmly, because there is nothing more to claim."""
        self._plan.say(f"burst: {left}; stopping")
        self.stop()

    def fail(self, reason: str) -> None:
        """Stop warmly, because the node cannot go on."""
        logger.critical("this node ends: %s", reason)
        self.exit_code = EXIT_FAILED
        self.stop()

    def turn_cold(self) -> None:
        """Wait for nothing that runs, from now on."""
        self.cold.set()

    # -- signals ------------------------------------------------------------------------------------------------

    def listen_to_signals(self) -> None:
        """Have signals of this process stop the node."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._note_stop_signal, number.name)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(signal.SIGHUP, self._note_hangup)

    def _note_hangup(self) -> None:
        if self._plan.has_terminal:  # which has gone
            self._note_stop_signal("SIGHUP")
        else:
            self.restart("SIGHUP")

    def _note_stop_signal(self, name: str) -> None:
        match self._stopping.next(name):
            case Stage.WARM:
                grace = self._plan.stop_grace
                bound = "as long as they take" if grace is None else f"up to {grace:.0f} s"
                self._begin_no_more()  # first: whoever reads that line may rely on it
                self._plan.say(f"{name}: warm shutdown; running tasks have {bound} (again: cold shutdown)")
                self._signals.shutting_down(name, "Warm", EXIT_DONE)
                self.begun.set()
            case Stage.SOFT:
                seconds = self._plan.soft_stop
                self._begin_no_more()
                self._plan.say(f"{name}: soft shutdown; running tasks have {seconds:g} s (again: cold shutdown)")
                self._signals.shutting_down(name, "Soft", EXIT_DONE)
                self._until = time.monotonic() + seconds
                self.begun.set()
            case Stage.COLD:
                self._plan.say(f"{name}: cold shutdown; what runs is killed and goes back to its queue")
                self._signals.shutting_down(name, "Cold", EXIT_FAILED)
                self.exit_code = EXIT_FAILED
                self.turn_cold()
                self.begun.set()
            case Stage.NOW:
                self._plan.say(f"{name}: ending at once; other nodes find out what this one held")
                self._kill()
                os._exit(EXIT_FAILED)  # the forkserver ends with this process, and every child with it

    # -- while the parts stop -----------------------------------------------------------------------------------

    def begin_grace(self) -> None:
        """Give what runs the time that it may take, from now on, unless it has been given some already."""
        if self._until is None and self._plan.stop_grace is not None:
            self._until = time.monotonic() + self._plan.stop_grace

    @property
    def is_over(self) -> bool:
        """The time is over that what runs may take."""
        return self._until is not None and time.monotonic() >= self._until

    def note_late(self, running: int) -> None:
        """Take it that so many tasks did not end in time."""
        self._plan.say(f"{running} tasks did not end in time and go back to their queues")
        if running and self.exit_code == EXIT_DONE:  # what is killed was stopped cold, whatever it began as
            self.exit_code = EXIT_FAILED

    def note_unsettled(self) -> None:
        """Take it that not all that has ended could be stored."""
        self.exit_code = EXIT_FAILED
