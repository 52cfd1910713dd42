"""The runs that are under way in children: who runs what, and how a run is told something or ended from outside."""

from __future__ import annotations

import signal

from celeriac.worker.children import Child
from celeriac.worker.held import Held, Verdict
from celeriac.worker.orders import ORDER_SIGNAL, Order, send_order
from celeriac.worker.slots import Slots


class UnderWay:
    """Reach the runs in the children of a node.

    What a child has not answered need not run: it may wait there unread, or its outcome wait here. Both are looked at
    first, so that nothing which is done to a child hits another run.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lives = slots.lives

    def interrupt(self, held: Held, order: Order) -> bool:
        """Give an order to the child that runs a message; False when none runs it now, or cannot be told."""
        child = self._pin(held)
        if child is None or child.line is None or not send_order(child.line, order):
            return False
        self._lives.kill(child, signal.Signals[ORDER_SIGNAL])
        return True

    def condemn(self, held: Held, verdict: Verdict) -> bool:
        """Let the child that runs a message begin nothing more; False when none runs it now.

        When the child dies the run has come to what the verdict says, and whatever else ran there runs again.
        """
        child = self._pin(held)
        if child is None:
            return False
        held.verdict = verdict
        child.is_doomed = True
        self._lives.choose_among()
        return True

    def kill_run(self, held: Held, verdict: Verdict, number: int = signal.SIGKILL) -> bool:
        """Condemn a run, and send its child a signal: with SIGKILL to everything that it has started, too."""
        if not self.condemn(held, verdict):
            return False
        child = self._child_of(held)
        assert child is not None
        self._lives.kill(child, number)
        return True

    def kill_doomed(self) -> None:
        """Kill the doomed children whose condemned runs have ended otherwise."""
        for child in self._lives.children.values():
            if child.is_doomed and not any(held.verdict for held in child.sent.values()):
                self._lives.kill(child)

    def runs(self, held: Held) -> bool:
        """Say whether a child runs a message right now; what that child has not read waits here afterwards."""
        return self._pin(held) is not None

    def is_with_child(self, held: Held) -> bool:
        """Say whether a child has been sent a message and has not answered it."""
        return self._child_of(held) is not None

    def all(self) -> list[Held]:
        """Return what children have been sent and have not answered."""
        return self._slots.with_children()

    def let_go(self) -> None:
        """Send what was taken back from children that were looked at. To be called after all of the above."""
        self._slots.dispatch()

    def _child_of(self, held: Held) -> Child | None:
        return next((child for child in self._lives.children.values() if held.number in child.sent), None)

    def _pin(self, held: Held) -> Child | None:
        """Return the child that runs a message, made sure of by taking back what it has not read."""
        child = self._child_of(held)
        if child is None:
            return None
        self._slots.take_back(child)
        self._slots.read_all(child)
        return child if held.number in child.sent else None
