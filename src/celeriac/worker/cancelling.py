"""End runs that are under way because somebody revoked or cancelled them.

What is cancelled gets `TaskCancelled` raised in its body and some time to clean up; what is terminated gets a signal.
Whatever has not ended by then is killed, with all that it has started.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Final

from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import TaskCancelled, TaskRevokedError
from celeriac.states import REVOKED, SUCCESS
from celeriac.worker.held import Held, Verdict
from celeriac.worker.orders import ORDER_SIGNAL, Interrupt, Order, Signal, bounded
from celeriac.worker.runs import Outcome
from celeriac.worker.under_way import UnderWay

logger: Final = logging.getLogger("celeriac.worker")

_LEFT_TO_SUPERVISOR: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
"""What children ignore by themselves, because service managers send it to all processes."""


def _always() -> bool:
    return True


class Cancelling:
    """End runs from outside.

    Args:
        under_way: the runs.
        grace: seconds that a run has to end by itself, where the one who ends it has not said how long.
        can_signal: says False where a child runs several bodies, or is the node's only one: all is cancelled then.
        can_kill: False where that would kill the node (pool `solo`).
    """

    def __init__(
        self, under_way: UnderWay, *, grace: float, can_signal: Callable[[], bool] = _always, can_kill: bool = True
    ) -> None:
        self._under_way = under_way
        self._grace = grace
        self._can_signal = can_signal
        self._can_kill = can_kill
        self._loop = asyncio.get_running_loop()

    def end_run(self, held: Held, revocation: Revocation) -> None:
        """End a run that is with a child, if it has not ended by now. A body is told once, whoever says it again."""
        verdict = verdict_of(revocation)
        signals = self._can_signal() and not revocation.cancel
        if held.verdict is not None and verdict.signum != signal.SIGKILL:
            return  # it is being ended already
        if signals:
            told = self._terminate(held, verdict)
        else:
            told = held.revocation is not None or self._cancel(held, revocation)
        if told:
            held.revocation = revocation
            held.if_killed = verdict
            grace = self._grace if revocation.grace is None else revocation.grace
            self._loop.call_later(grace, self._kill, held, verdict, grace)

    def _cancel(self, held: Held, revocation: Revocation) -> bool:
        order = Interrupt(held.number, "cancel", None, bounded(revocation.reason), bounded(revocation.by))
        return self._under_way.interrupt(held, order)

    def _terminate(self, held: Held, verdict: Verdict) -> bool:
        number = verdict.signum
        assert number is not None
        if number == signal.Signals[ORDER_SIGNAL]:  # what Celery's children make of it
            return self._condemn(held, verdict, Interrupt(held.number, "soft"))
        if number in _LEFT_TO_SUPERVISOR:
            return self._condemn(held, verdict, Signal(held.number, number))
        return self._under_way.kill_run(held, verdict, number)

    def _condemn(self, held: Held, verdict: Verdict, order: Order) -> bool:
        if not self._under_way.condemn(held, verdict):
            return False
        if not self._under_way.interrupt(held, order):
            self._under_way.kill_doomed()  # it has ended at this very moment
        return self._under_way.is_with_child(held)

    def _kill(self, held: Held, verdict: Verdict, grace: float) -> None:
        if not self._under_way.is_with_child(held):
            return
        facts = held.intake
        if not self._can_kill:
            logger.warning(
                "task %s[%s] goes on %.1f s after it was cancelled, and this pool cannot kill it: use prefork",
                facts.task,
                facts.id,
                grace,
            )
        elif self._under_way.kill_run(held, verdict):
            logger.warning(
                "task %s[%s] did not end within %.1f s of being told to; killing it", facts.task, facts.id, grace
            )

    def after_outcome(self, held: Held, outcome: Outcome) -> Verdict | None:
        """Return what a run comes to that has ended after somebody wanted it to; None is what it came to itself."""
        if held.verdict is None:
            return None
        self._under_way.kill_doomed()
        return None if outcome.state == SUCCESS else held.verdict


def verdict_of(revocation: Revocation) -> Verdict:
    """Return what a run comes to that is ended by force because of a revocation."""
    if revocation.cancel:
        return Verdict(REVOKED, TaskCancelled(revocation.reason, revocation.by))
    return Verdict(REVOKED, TaskRevokedError("terminated"), signal.Signals[revocation.signal])
