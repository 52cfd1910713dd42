"""Have messages begin that are to run. Of most the store need not know first; of the others it is told, or asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from celeriac.app.task import Task
from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Booking, Consumer, Settlement
from celeriac.exceptions import OperationalError
from celeriac.states import READY_STATES
from celeriac.worker.backoff import Backoff
from celeriac.worker.held import Held, Holdings
from celeriac.worker.limits import Limits, waiting_for
from celeriac.worker.message_signals import MessageSignals
from celeriac.worker.node_rates import NodeRates
from celeriac.worker.revoking import Revoking
from celeriac.worker.settler import Ending, Settler
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")


class Admission:
    """Hand messages to the slots: at once, or when that is done which must be done before.

    Args:
        consumer: whose claims they are.
        tasks: what is registered here.
        settler: ends what must not begin.
        backend: knows what has finished, where that is another store than the broker.
        shared_limits: which tasks have limits that the store decides on.
        node_rates: tells what a rate limit of this node lets start now.
        revoking: knows what is revoked.
        signals: tells receivers of messages before they begin.
        now: returns the store's clock.

    Attributes:
        none_limited: no task has a limit on when its runs may begin.
    """

    def __init__(
        self,
        consumer: Consumer,
        tasks: Mapping[str, Task[..., Any]],
        *,
        slots: Slots,
        settler: Settler,
        holdings: Holdings,
        backend: ResultBackend | None,
        shared_limits: Limits,
        node_rates: NodeRates,
        revoking: Revoking,
        signals: MessageSignals,
        now: Callable[[], float],
    ) -> None:
        self._consumer = consumer
        self._tasks = tasks
        self._slots = slots
        self._settler = settler
        self._holdings = holdings
        self._backend = backend
        self._shared_limits = shared_limits
        self._node_rates = node_rates
        self._revoking = revoking
        self._revoked = revoking.revoked
        self._signals = signals
        self._now = now
        self._taking: set[asyncio.Future[None]] = set()
        self._is_waited_for = False
        self.note_limits()

    def note_limits(self) -> None:
        """Learn that the rate limits of tasks have changed."""
        self.none_limited = not (self._shared_limits.any or self._node_rates.any)

    def is_unlimited(self, task: str) -> bool:
        """Say whether a task has no limit on when its runs may begin."""
        return self._shared_limits.none_for(task) and self._node_rates.none_for(task)

    def begin(self, runnable: list[Held], *, version: int) -> asyncio.Future[None] | None:
        """Have messages of one claim run; return what is to be waited for when something must be done before.

        Args:
            version: of what is revoked, as that claim has told it.
        """
        if version == self._revoked.version and not self._signals.tells_received and self._may_begin(runnable):
            self._slots.add(runnable)
            self._slots.dispatch()
            return None
        # Not to be cancelled half-way: between an ack before the run and the run, nobody else knows of a message.
        passing = asyncio.ensure_future(self._pass_on(runnable, version))
        self._taking.add(passing)
        passing.add_done_callback(self._taking.discard)
        return passing

    @property
    def is_under_way(self) -> bool:
        """Whether messages are still on their way to the slots."""
        return bool(self._taking)

    async def wait(self) -> None:
        """Wait until nothing is under way to the slots any more; what the store does not answer is given up."""
        self._is_waited_for = True
        try:
            await asyncio.gather(*self._taking, return_exceptions=True)
        finally:
            self._is_waited_for = False

    def _may_begin(self, runnable: list[Held]) -> bool:
        """Say whether the store need not know of any of these before it begins, nor be asked about it."""
        if self._revoked.is_partial or (runnable and not self._consumer.holds(runnable[0].delivery)):
            return False
        return self._settler.one_store and all(
            self._tasks[held.intake.task].acks_late and (self.none_limited or self.is_unlimited(held.intake.task))
            for held in runnable
        )

    async def _pass_on(self, runnable: list[Held], version: int) -> None:
        try:
            if self._signals.tells_received:
                await self._signals.received_told()
                _claim_anew(runnable)
            runnable = await self._revoking.sifted(runnable, version=version)
            # Once more at the end: what was revoked meanwhile has met nobody who could take it out.
            self._slots.add(self._still_ours(self._revoking.without_revoked(await self._sifted(runnable))))
        except Exception:
            for held in runnable:  # not held any more, so that `reconcile` gives back what is still in the store
                if not held.acked:
                    self._holdings.remove(held)
            self._slots.add(held for held in runnable if held.acked)
            raise
        self._slots.dispatch()

    async def _sifted(self, runnable: list[Held]) -> list[Held]:
        """Do what the store must know before a run begins; leave out what must not begin."""
        runnable = await self._with_room(await self._in_time(self._within_rates(runnable)))
        early = [held for held in runnable if not self._tasks[held.intake.task].acks_late]
        if early:
            await self._ack_early(early)
            runnable = [held for held in runnable if held.acked or held not in early]
        return runnable if self._settler.one_store else await self._not_finished(runnable)

    def _still_ours(self, runnable: list[Held]) -> list[Held]:
        """Leave out what belongs to others, because this node was declared dead while the store was asked."""
        left = []
        for held in runnable:
            if held.acked or self._consumer.holds(held.delivery):
                left.append(held)
            else:
                self._holdings.remove(held)
        return left

    def _within_rates(self, runnable: list[Held]) -> list[Held]:
        """Leave out what a rate limit of this node keeps from starting now: it waits in the store."""
        if not self._node_rates.any:
            return runnable
        now, left = self._now(), []
        for held in runnable:
            back_at = self._node_rates.take(held.intake.task, now)
            if back_at is None:
                left.append(held)
            else:
                release = waiting_for(held, Booking(back_at, is_final=False), now)
                assert release is not None, "it is put aside for a while"
                self._settler.add(Ending(held, release))
        return left

    async def _in_time(self, runnable: list[Held]) -> list[Held]:
        """Leave out what a rate limit keeps from starting now: it waits in the store."""
        asked = self._shared_limits.requests_of(runnable)
        if not asked:
            return runnable
        bookings, now = await self._consumer.book([request for _, request in asked])
        waiting = []
        for (held, _), booking in zip(asked, bookings, strict=True):
            release = waiting_for(held, booking, now)
            if release is not None:
                waiting.append(held)
                self._settler.add(Ending(held, release))
        return [held for held in runnable if held not in waiting] if waiting else runnable

    async def _with_room(self, runnable: list[Held]) -> list[Held]:
        """Leave out those for which there is no room now: the store has put them aside."""
        asked = [(held, held.room) for held in runnable if held.room is not None]
        if not asked:
            return runnable
        entered = await self._consumer.enter([(held.delivery, room) for held, room in asked])
        outside = [held for (held, _), is_in in zip(asked, entered, strict=True) if not is_in]
        for held in outside:
            self._holdings.remove(held)
        return [held for held in runnable if held not in outside] if outside else runnable

    async def _ack_early(self, early: list[Held]) -> None:
        """Ack before the run, for tasks that asked for it; what was refused belongs to somebody else."""
        acks = [Settlement(delivery=held.delivery) for held in early]
        refused = await self._settled(acks)
        for held, ack in zip(early, acks, strict=True):
            held.acked = ack not in refused
            if not held.acked:
                self._holdings.remove(held)

    async def _settled(self, acks: list[Settlement]) -> list[Settlement]:
        """Settle until there is an answer: what was acked without one is nowhere but here, and must run."""
        backoff = Backoff()
        while True:
            try:
                return await self._consumer.settle(acks, None)
            except OperationalError as exc:
                if self._is_waited_for:
                    raise
                delay = backoff.next()
                logger.warning("cannot ack %d messages that are to run, again in %.1f s: %s", len(acks), delay, exc)
                await asyncio.sleep(delay)

    async def _not_finished(self, runnable: list[Held]) -> list[Held]:
        """Leave out what somebody finished before dying: across two stores the record is the proof."""
        suspects = {held.delivery.message.task_id: held for held in runnable if held.delivery.redelivered}
        if not suspects or self._backend is None:
            return runnable
        found = await asyncio.to_thread(self._backend.get_many, list(suspects))
        for task_id, stored in found.items():
            held = suspects[task_id]
            if stored.state in READY_STATES and stored.retries >= held.intake.retries:
                self._settler.add(Ending(held, Settlement(delivery=held.delivery)))
                runnable = [one for one in runnable if one is not held]
        return runnable


def _claim_anew(waited: list[Held]) -> None:
    """Have the time in which messages are to begin count from now on."""
    now = time.monotonic()
    for held in waited:
        held.claimed_at = now
