"""The worker's side of the memory broker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    Booking,
    Claim,
    Consumer,
    Delivery,
    Incarnation,
    RateRequest,
    Release,
    ReleaseCause,
    ResultSink,
    Room,
    Settlement,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import spread
from celeriac.brokers.memory.store import NOBODY, Bound, Owner, Row, Store, StoreSink, Transaction, owner_of, token_of
from celeriac.brokers.rates import Flow, book
from celeriac.brokers.sizes import within_limit
from celeriac.brokers.topology import Binding
from celeriac.clock import Clock
from celeriac.exceptions import LeaseLost
from celeriac.message import Message

CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024
"""What the messages of one claim may weigh together; a single one may weigh more."""

DEAD_AFTER: Final = 8.0
"""Seconds for which a lease's counter stands still before its owner is called dead."""

LOOK_VOUCHES_FOR: Final = 2.0
"""Seconds before a look at the leases that it can vouch for. Time in which nobody looked (a stopped process, a
blocked loop) says nothing about peers, who were probably stopped too."""


class _Watch(msgspec.Struct):
    """Keep how long one owner's counter has been seen standing still."""

    beats: int
    still_for: float = 0.0


class MemoryConsumer(Consumer):
    """Claim and settle for one owner in this process."""

    def __init__(
        self,
        store: Store,
        incarnation: Incarnation,
        *,
        clock: Clock,
        dead_letter_max: int,
        message_max_bytes: int,
        declared: Declared | None = None,
        aging: Aging | None = None,
    ) -> None:
        self._aging = Aging() if aging is None else aging
        self._declared = Declared() if declared is None else declared
        self._bound: tuple[str, ...] = ()
        self.owner = NOBODY
        self._store = store
        self._incarnation = incarnation
        self._clock = clock
        self._dead_letter_max = dead_letter_max
        self._message_max_bytes = message_max_bytes
        self._claims = 0
        self._turn: deque[str] = deque()
        self._watches: dict[int, _Watch] = {}
        self._looked_at = 0.0

    async def open(self) -> None:
        with self._store.transaction() as transaction:
            self._store.delete_owner(transaction, self.owner, lost=False)
            owner = Owner(number=self._store.next_number(), incarnation=self._incarnation)
            transaction.write(self._store.owners, owner.number, owner)
        self.owner = owner.number
        self._bound = ()
        self._watches.clear()
        self._looked_at = self._clock.monotonic()
        self._store.wake()

    async def close(self) -> None:
        with self._store.transaction() as transaction:
            self._store.delete_owner(transaction, self.owner, lost=False)
        self.owner = NOBODY
        self._store.wake()

    async def attend(self, queues: Sequence[str]) -> None:
        with self._store.transaction() as transaction:
            self._own_lease()
            self._bind(transaction, queues)

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        give_up_at = time.monotonic() + wait
        changed = asyncio.Event()
        waker = _Waker(asyncio.get_running_loop(), changed)
        self._store.listen(waker)
        try:
            while True:
                changed.clear()
                claim, due_after = self._take(queues, limit)
                remaining = give_up_at - time.monotonic()
                if claim.deliveries or remaining <= 0:
                    return claim
                await _wait_for(changed, remaining if due_after is None else min(remaining, due_after))
        finally:
            self._store.unlisten(waker)

    def _take(self, queues: Sequence[str], limit: int) -> tuple[Claim, float | None]:
        """Claim what is there, and say after how many seconds something becomes due."""
        now = self._clock.now()
        with self._store.transaction() as transaction:
            self._own_lease()
            if self._bound != tuple(queues):
                self._bind(transaction, queues)
            self._store.promote(now)
            deliveries = self._take_in_turn(transaction, queues, limit)
            due_at = self._store.next_due_at()
            version = self._store.revoked_version
        return Claim(deliveries, now, version), None if due_at is None else due_at - now

    def _bind(self, transaction: Transaction, queues: Sequence[str]) -> None:
        """Make known what leads to the queues that are claimed from now."""
        for queue in self._declared.uncommon(queues):
            owner = self.owner if self._declared.belongs_to_node(queue) else NOBODY
            transaction.write(self._store.bound, queue, Bound(tuple(self._declared.leads_to(queue)), owner))
        self._store.end_queues_of(transaction, self.owner, but=queues)
        self._bound = tuple(queues)

    def _take_in_turn(self, transaction: Transaction, queues: Sequence[str], limit: int) -> list[Delivery]:
        """Take one message of each queue after the other; the next claim goes on behind the last queue served."""
        if set(queues) != set(self._turn):
            self._turn = deque(dict.fromkeys(queues))
        self._claims += 1
        token = token_of(self.owner, self._claims)
        deliveries: list[Delivery] = []
        room_bytes = CLAIM_MAX_BYTES
        empty_in_a_row = 0
        turn = self._aging.turn()
        while len(deliveries) < limit and empty_in_a_row < len(self._turn):
            queue = self._turn[0]
            row = self._store.lower_ready(queue, turn) if turn else self._store.first_ready(queue)
            if row is None:
                self._turn.rotate(-1)
                empty_in_a_row += 1
                continue
            delivery = self._delivery(row, token)
            room_bytes -= delivery.message.size_bytes
            if deliveries and room_bytes < 0:
                break
            self._store.claim(transaction, row, token)
            deliveries.append(delivery)
            self._turn.rotate(-1)
            empty_in_a_row = 0
        return deliveries

    def _delivery(self, row: Row, token: int) -> Delivery:
        message, fault = within_limit(row.message, self._message_max_bytes)
        replaced = self._store.replaced.get(message.task_id)
        return Delivery(
            tag=row.tag,
            owner=token,
            message=message,
            crashes=row.crashes,
            node_losses=row.node_losses,
            releases=row.releases,
            redelivered=row.redelivered,
            fault=fault,
            replaced_by=None if replaced is None else replaced.by,
            booking=row.booking,
        )

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        refused: list[Settlement] = []
        accepted: list[Settlement] = []
        now = self._clock.now()
        with self._store.transaction() as transaction:
            for settlement in settlements:
                settled = self._settle_one(transaction, settlement)
                (accepted if settled else refused).append(settlement)
            for settlement in accepted:
                if settlement.frees is not None:
                    self._store.free(transaction, settlement.frees, settlement.delivery.message.task_id)
            following = [message for settlement in accepted for message in settlement.publish]
            effects = [settlement.joins for settlement in accepted if settlement.joins is not None]
            if results is not None and effects:
                following += results.join_within(transaction, effects)
            lost: list[tuple[Message, str]] = []
            following = spread(following, self._behind, lost=lost).messages
            self._store.publish(transaction, following, now)
            for message, reason in lost:
                self._store.bury(transaction, message, reason, now=now, keep=self._dead_letter_max)
            let_in = False
            for room in {settlement.room for settlement in accepted if settlement.room is not None}:
                let_in |= self._store.let_in(transaction, room)
            records = [record for settlement in accepted for record in settlement.results]
            if results is not None and records:
                results.write_within(transaction, records)
        self._store.note_published(following)
        for settlement in accepted:
            self.note_ended(settlement.delivery)
        if let_in or following:
            self._store.wake()
        if results is not None and records:
            results.announce()
        return refused

    def _behind(self, exchange: str) -> list[Binding]:
        return list(dict.fromkeys(self._declared.behind(exchange) + self._store.behind(exchange)))

    def _settle_one(self, transaction: Transaction, settlement: Settlement) -> bool:
        row = self._owned_row(settlement.delivery)
        if row is None:
            return False
        if settlement.dead_reason is not None:
            self._store.bury(
                transaction, row.message, settlement.dead_reason, now=self._clock.now(), keep=self._dead_letter_max
            )
        self._store.set_row(transaction, row.tag, None)
        return True

    def _owned_row(self, delivery: Delivery) -> Row | None:
        row = self._store.rows.get(delivery.tag)
        return row if row is not None and row.token == delivery.owner else None

    async def release(self, releases: Sequence[Release]) -> None:
        released: list[Delivery] = []
        with self._store.transaction() as transaction:
            for release in releases:
                if self._owned_row(release.delivery) is not None:
                    released.append(release.delivery)
                    self._store.give_back(
                        transaction,
                        release.delivery.tag,
                        due_at=release.eta_at,
                        crashes=int(release.cause is ReleaseCause.CRASH),
                        releases=int(release.cause is ReleaseCause.UNKNOWN_TASK),
                        booking=release.delivery.booking,
                    )
        for delivery in released:
            self.note_ended(delivery)
        self._store.wake()

    async def free(self, runs: Sequence[tuple[str, str]]) -> None:
        with self._store.transaction() as transaction:
            for key, task_id in runs:
                self._store.free(transaction, key, task_id)

    async def book(self, requests: Sequence[RateRequest]) -> tuple[list[Booking], float]:
        now = self._clock.now()
        booked = []
        with self._store.transaction() as transaction:
            self._own_lease()
            for request in requests:
                flow = self._store.flows.get(request.key, Flow())
                flow, booking = book(flow, request.interval, request.booking, now)
                transaction.write(self._store.flows, request.key, flow)
                booked.append(booking)
        return booked, now

    async def enter(self, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
        with self._store.transaction() as transaction:
            rows = [(self._owned_row(delivery), room) for delivery, room in runs]
            entered = [row is not None and self._store.enter(transaction, row, room) for row, room in rows]
            for room in {room for _, room in runs}:
                self._store.let_in(transaction, room)
        self._store.wake()
        return entered

    async def extend(self) -> None:
        with self._store.locked():
            self._own_lease().beats += 1

    async def recover(self) -> int:
        now = self._clock.monotonic()
        vouched_for = min(now - self._looked_at, LOOK_VOUCHES_FOR)
        self._looked_at = now
        with self._store.transaction() as transaction:
            dead = [owner.number for owner in self._others() if self._stands_still(owner, vouched_for)]
            recovered = sum(self._store.delete_owner(transaction, number, lost=True) for number in dead)
        if dead:
            self._store.wake()
        return recovered

    def _others(self) -> list[Owner]:
        """Return the other owners, and forget what was seen of those that are gone."""
        others = [owner for owner in self._store.owners.values() if owner.number != self.owner]
        numbers = {owner.number for owner in others}
        self._watches = {number: watch for number, watch in self._watches.items() if number in numbers}
        return others

    def _stands_still(self, owner: Owner, vouched_for: float) -> bool:
        watch = self._watches.get(owner.number)
        if watch is None or watch.beats != owner.beats:
            self._watches[owner.number] = _Watch(beats=owner.beats)
            return False
        watch.still_for += vouched_for
        return watch.still_for >= DEAD_AFTER

    async def peers(self) -> list[Incarnation]:
        with self._store.locked():
            return [owner.incarnation for owner in self._store.owners.values() if owner.number != self.owner]

    async def reconcile(self, held: Collection[int]) -> int:
        with self._store.transaction() as transaction:
            parked = self._store.held_by(self.owner).difference(held)
            for tag in parked:
                self._store.give_back(transaction, tag)
        if parked:
            self._store.wake()
        return len(parked)

    def holds(self, delivery: Delivery) -> bool:
        return owner_of(delivery.owner) == self.owner

    def note_started(self, delivery: Delivery) -> None:
        owner = self._store.owners.get(owner_of(delivery.owner))
        if owner is not None:
            owner.started.add(delivery.tag)

    def note_ended(self, delivery: Delivery) -> None:
        owner = self._store.owners.get(owner_of(delivery.owner))
        if owner is not None:
            owner.started.discard(delivery.tag)

    def shares_store_with(self, results: object) -> bool:
        return isinstance(results, StoreSink) and results.kept_in is self._store

    def _own_lease(self) -> Owner:
        owner = self._store.owners.get(self.owner)
        if owner is None:
            raise LeaseLost(
                f"node {self._incarnation.node!r} owns nothing in memory store {self._store.name!r}: "
                f"its lease was lost, or never opened; call open() to become a new owner"
            )
        return owner


class _Waker:
    """Set an event of a loop from any thread; do nothing when the loop is closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        self._loop = loop
        self._event = event

    def __call__(self) -> None:
        with suppress(RuntimeError):  # what a closed loop raises
            self._loop.call_soon_threadsafe(self._event.set)


async def _wait_for(event: asyncio.Event, timeout: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout)
    except TimeoutError:
        return
