"""Claim messages, decide on each, and pass on those that are to run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

import msgspec

from celeriac.app.task import Task
from celeriac.brokers.base import Claim, Consumer, Delivery, Release, ReleaseCause, Settlement, Taker
from celeriac.clock import until_tick
from celeriac.exceptions import CeleriacError, DecodeError, ImproperlyConfigured, LeaseLost, OperationalError
from celeriac.message import Message
from celeriac.wire.forms import RecordForm
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Intake as Facts
from celeriac.wire.protocol import read_intake
from celeriac.wire.serializers import Accept
from celeriac.worker.admission import Admission
from celeriac.worker.background import Background
from celeriac.worker.backoff import Backoff
from celeriac.worker.burst import Burst
from celeriac.worker.consuming import Consuming
from celeriac.worker.counting import Counting
from celeriac.worker.decide import Bury, Drop, HoldUntil, PassOn, Policy, RunNow, decide, decide_unreadable
from celeriac.worker.dispatch import Durations, Strategy
from celeriac.worker.dropping import Dropper
from celeriac.worker.errbacks import Errbacks
from celeriac.worker.held import Held, Holdings
from celeriac.worker.limits import Limits as SharedLimits
from celeriac.worker.message_signals import MessageSignals
from celeriac.worker.node_events import NodeEvents
from celeriac.worker.received_line import log_received
from celeriac.worker.revoked import Revoked
from celeriac.worker.saying import saying_failed
from celeriac.worker.settle import after_bury
from celeriac.worker.settler import Ending, Settler
from celeriac.worker.slots import Slots
from celeriac.worker.time_limits import TimeLimits

logger: Final = logging.getLogger("celeriac.worker")

CLAIM_WAIT: Final = 1.0
"""Seconds that one claim waits for messages; the watchdog expects one to be completed that often."""

CLAIM_MAX: Final = 500

START_WITHIN: Final = 1.0
"""Seconds after which a claimed message that no child has begun goes back to its queue."""

_FULL_LOOK: Final = 0.05
_REFILL_SHARE: Final = 4


class Intake(Taker):
    """Keep the node's slots supplied, in one background task.

    Args:
        consuming: where to claim from.
        tasks: what is registered here.
        accept: what may be decoded.
        form: how records are written.
        limit: messages per slot that may be held (`worker_prefetch_multiplier`): None leaves it to the strategy, 0
            means no limit.
        admission: has messages begin that are to run.
        dropper: ends what nobody wants any more.
        revoked: what is revoked, as this node knows it.
        events: tells monitors what was claimed.
        counting: counts the members of chords that are buried.
        signals: tells receivers what was claimed.
        lease_lost: called when a claim says that this node was declared dead; makes it a new owner.
        give_up: ends the node, with a reason, when the broker is lost (`broker_connection_retry` is off); None: it is
            tried again.
        burst: ends the node when there is nothing more to claim; None: it waits for more.
        spare: tells by how many bodies the node may still grow; None: it does not.
        on_waiting: called when messages wait for a body after a claim.
    """

    def __init__(
        self,
        consumer: Consumer,
        consuming: Consuming,
        tasks: Mapping[str, Task[..., Any]],
        *,
        admission: Admission,
        slots: Slots,
        settler: Settler,
        holdings: Holdings,
        strategy: Strategy,
        durations: Durations,
        policy: Policy,
        limits: Limits,
        zone: tzinfo,
        limit: int | None,
        done_at: Callable[[], str],
        accept: Accept,
        form: RecordForm,
        lease_lost: Callable[[], Any],
        errbacks: Errbacks,
        counting: Counting,
        shared_limits: SharedLimits,
        time_limits: TimeLimits,
        dropper: Dropper,
        revoked: Revoked,
        signals: MessageSignals,
        events: NodeEvents,
        give_up: Callable[[str], None] | None = None,
        burst: Burst | None = None,
        spare: Callable[[], int] | None = None,
        on_waiting: Callable[[], None] | None = None,
    ) -> None:
        self._give_up = give_up
        self._burst = burst
        self._spare = spare
        self._on_waiting = on_waiting
        self._consumer = consumer
        self._consuming = consuming
        self._tasks = tasks
        self._admission = admission
        self._slots = slots
        self._settler = settler
        self._holdings = holdings
        self._strategy = strategy
        self._durations = durations
        self._policy = policy
        self._limits = limits
        self._zone = zone
        self._limit = limit
        self._done_at = done_at
        self._accept = accept
        self._form = form
        self._lease_lost = lease_lost
        self._errbacks = errbacks
        self._counting = counting
        self._shared_limits = shared_limits
        self._time_limits = time_limits
        self._dropper = dropper
        self._revoked = revoked
        self._signals = signals
        self._events = events
        self._freed = asyncio.Event()
        self._loop = Background(self._run, "intake")
        self._is_open = False
        self._clock_offset = time.time() - time.monotonic()
        self.completed_at = time.monotonic()
        """Monotonic instant at which the last claim was answered, with messages, with none or with an error."""

    def start(self) -> None:
        self.completed_at = time.monotonic()
        self._is_open = True
        self._loop.start()

    async def stop(self) -> None:
        """Claim no more. May be called twice."""
        self._is_open = False
        await self._loop.stop()
        await self._admission.wait()

    def freed(self) -> None:
        """Look again whether there is room."""
        self._freed.set()

    def note_away(self) -> None:
        """Learn that the broker is away, so that nobody takes this for an intake that hangs."""
        self.completed_at = time.monotonic()

    def now(self) -> float:
        """Return the store's clock as of the last claim, moved on by the time that has passed since."""
        return self._clock_offset + time.monotonic()

    async def _run(self) -> None:
        backoff = Backoff()
        lost = False
        while True:
            try:
                if lost:
                    await self._lease_lost()
                    lost = False
                await self._turn()
                backoff.reset()
            except LeaseLost as exc:
                logger.warning("%s; beginning again as a new owner", exc)
                lost = True
            except OperationalError as exc:
                if self._give_up is not None:
                    self._give_up(f"{exc}; broker_connection_retry is off")
                    return
                delay = backoff.next()
                logger.warning("cannot claim, trying again in %.1f s: %s", delay, exc)
                await asyncio.sleep(delay)
            except ImproperlyConfigured as exc:  # somebody has made a queue anew, in another way
                delay = backoff.next()
                logger.error("cannot claim, trying again in %.1f s: %s", delay, exc)
                await asyncio.sleep(delay)
            except Exception:
                logger.exception(
                    "claiming failed; what was claimed in vain goes back within 10 s, and claiming goes on"
                )
                await asyncio.sleep(backoff.next())
            self.completed_at = time.monotonic()

    async def _turn(self) -> None:
        self._freed.clear()
        room = self._room()
        if room <= 0:
            await self._wait_for_room()
            return
        burst, wait, held = self._burst, until_tick(CLAIM_WAIT), 0
        if burst is not None:  # what is called after a killed run is held by nobody but the slots
            held = len(self._holdings) + self._slots.unanswered
            wait = burst.wait(held)
        queues = self._consuming.claimed
        claim = await self._consumer.claim(queues, limit=min(room, CLAIM_MAX), wait=wait)
        self._clock_offset = claim.now - time.monotonic()
        if queues is not self._consuming.claimed:
            claim = self._without_cancelled(claim)
        if burst is not None and not held and not claim.deliveries:
            left = await asyncio.to_thread(burst.look)
            if left is not None:
                burst.finish(left)
        passing = self._begin(claim)
        if passing is not None:
            await self._wait_for(passing)
        if self._on_waiting is not None and self._slots.behind:
            self._on_waiting()
        await asyncio.sleep(0)

    async def _wait_for(self, passing: asyncio.Future[None]) -> None:
        """Wait until what was claimed may begin. The claim was answered, however long the store takes for the rest."""
        while not passing.done():
            await asyncio.wait((passing,), timeout=CLAIM_WAIT)
            self.completed_at = time.monotonic()
        passing.result()

    def _begin(self, claim: Claim) -> asyncio.Future[None] | None:
        """Have what was claimed run; return what is to be waited for when something must be done before."""
        runnable = self._decide_all(claim)  # at once: from here on the claim is held
        return self._admission.begin(runnable, version=claim.revocations)

    # -- what follows a run, claimed by the settlement of it ----------------------------------------------------

    def room(self) -> tuple[Sequence[str], int]:
        slots = self._slots
        is_full = self._signals.is_behind or slots.waiting or self._admission.is_under_way
        if not self._is_open or is_full or not self._settler.one_store:
            return (), 0
        return self._consuming.claimed, sum(max(0, slot.capacity - slot.load) for slot in slots.slots)

    def accepts(self, message: Message) -> bool:
        try:
            facts = read_intake(message, limits=self._limits, zone=self._zone, accept=self._accept)
        except CeleriacError:
            return False
        task, admission = self._tasks.get(facts.task), self._admission
        return task is not None and task.acks_late and (admission.none_limited or admission.is_unlimited(facts.task))

    def take(self, claim: Claim) -> None:
        if self._is_open:
            self._events.put_off_received()
            passing = self._begin(self._without_cancelled(claim))
            if passing is not None:
                passing.add_done_callback(_tell_of_failure)
        else:
            self._give_back(claim.deliveries)

    def _give_back(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            facts = Facts("", delivery.message.task_id, None, None, 0, None, 2)
            held = self._holdings.add(delivery, facts, now=time.monotonic(), expected=0.0)
            self._settler.add(Ending(held, Release(delivery=delivery)))

    def _without_cancelled(self, claim: Claim) -> Claim:
        """Give back what a claim has taken from queues that were cancelled while it was under way."""
        names = frozenset(self._consuming.claimed)
        self._give_back(delivery for delivery in claim.deliveries if delivery.message.queue not in names)
        kept = [delivery for delivery in claim.deliveries if delivery.message.queue in names]
        return msgspec.structs.replace(claim, deliveries=kept)

    def _room(self) -> int:
        """Say how many messages to claim now; nothing while what is held still lasts for a while."""
        slots, now = self._slots.slots, time.monotonic()
        if self._signals.is_behind:
            return 0  # receivers of signals must come after
        spare = 0 if self._spare is None else self._spare()
        if not spare and slots and all(slot.is_full and now - slot.since > START_WITHIN for slot in slots):
            return 0  # it could not begin here in time, and would only go back and forth
        if self._limit is None:
            most = self._strategy.prefetch(slots, self._durations.mean, now)
        else:
            bodies = sum(slot.capacity for slot in slots)
            most = bodies * self._limit if self._limit else len(self._holdings) + CLAIM_MAX
        # What a node that grows holds for bodies to come begins within moments, as soon as they are there.
        room = most + spare - len(self._holdings)
        # Many small claims cost more than a few large ones.
        return room if spare or room >= most // _REFILL_SHARE or self._slots.idle else 0

    async def _wait_for_room(self) -> None:
        # A slot that turns out late changes the room without any event; hence the look now and then.
        try:
            async with asyncio.timeout(_FULL_LOOK):
                await self._freed.wait()
        except TimeoutError:
            return

    def _decide_all(self, claim: Claim) -> list[Held]:
        now = time.monotonic()
        return [held for delivery in claim.deliveries if (held := self._decide(delivery, claim.now, now))]

    def _decide(self, delivery: Delivery, store_now: float, now: float) -> Held | None:
        """Decide on one delivery; return it when it is to run, else see to its end."""
        try:
            return self._decided(delivery, store_now, now)
        except Exception as exc:  # the one message that nobody thought of must not take its neighbours along
            logger.exception("message %s broke its decision", delivery.message.task_id)
            self._end_unreadable(delivery, DecodeError(repr(exc)))
            return None

    def _decided(self, delivery: Delivery, store_now: float, now: float) -> Held | None:
        try:
            if delivery.fault is not None:
                raise DecodeError(delivery.fault)
            facts = read_intake(delivery.message, limits=self._limits, zone=self._zone, accept=self._accept)
        except DecodeError as exc:
            self._end_unreadable(delivery, exc)
            return None
        task = self._tasks.get(facts.task)
        revocation = self._revoked.of_message(facts.id, delivery.message.headers) if self._revoked.any else None
        known = task is not None
        decision = decide(delivery, facts, known=known, now=store_now, policy=self._policy, revocation=revocation)
        if not isinstance(decision, RunNow):
            self._end(delivery, facts, decision)
            return None
        if delivery.booking is None:
            if logger.isEnabledFor(logging.INFO):
                log_received(delivery.message, facts)
            self._signals.received(delivery.message, facts.task)
        is_watched = self._events.on and self._events.watches(task)
        if is_watched and delivery.booking is None:
            self._events.received(delivery.message, facts.task, task)
        # In a window nobody could say when a run begins.
        expected = float("inf") if task and task.track_started else self._durations.expected(facts.task)
        room = self._shared_limits.room_of(facts) if self._shared_limits.any else None
        time_limit = self._time_limits.of(facts)
        return self._holdings.add(
            delivery, facts, now=now, expected=expected, room=room, time_limit=time_limit, is_watched=is_watched
        )

    def _end_unreadable(self, delivery: Delivery, error: DecodeError) -> None:
        facts = Facts("", delivery.message.task_id, None, None, 0, None, 2)
        self._signals.rejected(delivery.message, error)
        self._end(delivery, facts, decide_unreadable(delivery, error))

    def _end(self, delivery: Delivery, facts: Facts, decision: HoldUntil | Drop | PassOn | Bury) -> None:
        room = self._shared_limits.room_of(facts) if facts.task in self._tasks else None
        held = self._holdings.add(delivery, facts, now=time.monotonic(), expected=0.0, room=room)
        held.is_watched = self._events.on and self._events.watches(self._tasks.get(facts.task))
        how: Settlement | Release
        match decision:
            case HoldUntil(eta_at=eta_at):
                how = Release(delivery=delivery, eta_at=eta_at)
            case PassOn(eta_at=eta_at):
                self._signals.unknown(delivery.message, facts.task)
                logger.warning(
                    "task %r (id %s) is not registered here; released for other nodes. Import its module or list it "
                    "in `include`.",
                    facts.task,
                    facts.id,
                )
                how = Release(delivery=delivery, eta_at=eta_at, cause=ReleaseCause.UNKNOWN_TASK)
            case Drop():
                self._dropper.drop(held, decision)
                return
            case Bury(reason=reason):
                logger.error("message %s was dead-lettered: %s", delivery.message.task_id, reason)
                buried = after_bury(delivery, decision, retries=facts.retries, done_at=self._done_at(), form=self._form)
                how = self._counting.add_to(self._errbacks.add_to(buried), decision.error)
                if held.is_watched:
                    held.says = saying_failed(decision.error)
        self._settler.add(Ending(held, how))


def _tell_of_failure(passing: asyncio.Future[None]) -> None:
    """Log why what a settlement had claimed was not begun; it goes back to its queue."""
    if not passing.cancelled() and passing.exception() is not None:
        logger.warning("what follows a run could not begin at once: %s", passing.exception())
