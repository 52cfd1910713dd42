"""The worker's side of the broker on RabbitMQ.

The server pushes; what has come waits in a buffer of its own until it is claimed. A claim belongs to the connection
that it came on: when that breaks the server has the message again, and gives it to whoever is there. So leases, and
the recovery of what dead nodes held, are the server's business.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from celeriac.brokers.amqp.carried import Counts, Outgoing, read_carried, read_counts
from celeriac.brokers.amqp.channel import WorkerChannel
from celeriac.brokers.amqp.dead_letters import DeadLetters
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.publisher import Publisher
from celeriac.brokers.amqp.revoked import RevokedOnRabbitMQ
from celeriac.brokers.amqp.routes import HELD_BY_NODES, Routes
from celeriac.brokers.amqp.tables import unread
from celeriac.brokers.amqp.topology import REVOCATIONS, Declared, is_astray, revocation_stream, sent_to
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
from celeriac.brokers.revocations import REVOCATION_EXPIRES
from celeriac.brokers.sizes import within_limit
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable, EncodeError, ImproperlyConfigured, OperationalError, Unroutable
from celeriac.message import Message
from celeriac.wire.jsontypes import dumps

logger: Final = logging.getLogger("celeriac.amqp")

CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024
"""What the messages of one claim may weigh together; a single one may weigh more."""

_PUBLISH_WITHIN: Final = 10.0
_ARRIVES_WITHIN: Final = 5.0
"""Seconds without a message after which a claim that only looks believes the server no more, which pushes."""

_COMES_AGAIN_WITHIN: Final = 0.2
_TURNS: Final = 3

_KEPT_FOR: Final = 1.0
"""Seconds for which a message is kept that has come and is not claimed; a quorum queue would count its return."""

_LOSSES_PER_NODE: Final = 2
"""Times that a message came back before it counts as lost with one node: blips and stops send messages back, too."""


class CameBack(msgspec.Struct, frozen=True, gc=False):
    """Be a message that somebody has held before.

    Attributes:
        ended: its run ended here, when it could not be acknowledged.
    """

    delivery: Delivery
    counts: Counts
    ended: bool

    @property
    def more(self) -> Counts:
        """Its counts, with one loss more."""
        return Counts(self.counts.crashes, self.counts.node_losses + 1, self.counts.releases)


class AmqpConsumer(Consumer):
    """Claim and settle for one node.

    Args:
        publisher: sends what goes out beside acknowledgements.
        message_max_bytes: larger messages are handed over without their parts.
    """

    notes_last = False

    def __init__(
        self,
        channel: WorkerChannel,
        publisher: Publisher,
        routes: Routes,
        dead_letters: DeadLetters,
        revoked: RevokedOnRabbitMQ,
        incarnation: Incarnation,
        *,
        clock: Clock,
        message_max_bytes: int,
    ) -> None:
        self._channel = channel
        channel.receive = self._receive
        self._publisher = publisher
        self._routes = routes
        self._dead_letters = dead_letters
        self._revoked = revoked
        self._incarnation = incarnation
        self._clock = clock
        self._message_max_bytes = message_max_bytes
        self._holdings = Holdings()
        self._buffer: deque[Delivery] = deque()
        self._came = asyncio.Event()
        self._last_tag = 0
        self._connecting = asyncio.Lock()
        self._serial = 0
        self._is_open = False
        self._claimed_at = 0.0
        self._revoked_version = 0
        self._quorum: list[str] = []
        self._queues: tuple[str, ...] = ()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._given_back: set[str] = set()
        self._whole: dict[int, Message] = {}  # what cannot be handed over as it is, for its dead letter
        self._came_back: list[CameBack] = []
        self._counting: asyncio.Task[None] | None = None

    @property
    def owner(self) -> int:  # type: ignore[override]  # read only here
        return self._channel.serial

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self.close()
        await self._connect()
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._channel.close()
        self._note_lost()
        self._holdings = Holdings()
        self._given_back.clear()
        self._queues = ()

    async def _connect(self) -> None:
        """Make sure that there is a channel; what the one before has delivered is to be adopted."""
        if self._is_ready():
            return
        async with self._connecting:  # the claim and the lease come here at once
            if self._is_ready():
                return
            self._note_lost()
            await self._channel.open()
            try:
                await self._declare([revocation_stream(REVOCATION_EXPIRES)])
                await self._channel.follow(REVOCATIONS, self._note_revoked)
                deadline_at = time.monotonic() + _PUBLISH_WITHIN
                version = await asyncio.to_thread(self._revoked.version, deadline_at=deadline_at)
            except BaseException:
                await self._channel.close()  # half made, it would look like a whole one
                raise
            self._revoked_version = max(self._revoked_version, version)
            self._queues = ()
            self._serial = self._channel.serial

    def _is_ready(self) -> bool:
        return self._channel.is_open and self._serial == self._channel.serial

    def _note_revoked(self, offset: int) -> None:
        self._revoked_version = max(self._revoked_version, self._revoked.version_at(offset))

    def _note_lost(self) -> None:
        """Forget what has come and nobody has claimed; keep what is under way, until it comes again."""
        for delivery in self._buffer:
            held = self._holdings.get(delivery.tag)
            if held is not None:
                self._given_back.add(held.run)
                self._holdings.remove(delivery.tag)
        self._buffer.clear()
        self._holdings.lose_channel()

    # -- claiming -----------------------------------------------------------------------------------------------

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        if not self._is_open:
            raise BrokerUnavailable("this consumer is not open; call open() first")
        await self._connect()
        await self._channel.allow(len(self._holdings) - len(self._buffer) + limit)
        if self._queues != tuple(queues):
            await self._listen_to(queues)
        self._claimed_at = time.monotonic()
        if wait <= 0:
            await self._look(queues, limit)
        elif not self._buffer:
            await self._wait_for(1, wait)
        return Claim(self._take(limit), self._clock.now(), self._revoked_version)

    async def _look(self, queues: Sequence[str], limit: int) -> None:
        """Wait until all is here that the server has for us now. What it sent before it answers is here by then."""
        if self._counting is not None:
            await self._counting
        if self._given_back:  # it comes again at once, to us or to somebody else
            await self._wait_for(len(self._buffer) + len(self._given_back), _COMES_AGAIN_WITHIN)
        ready = await self._channel.waiting(queues)
        for _ in range(_TURNS):  # the driver hands each message over in a task of its own
            await asyncio.sleep(0)
        await self._wait_for(min(limit, len(self._buffer) + ready), _ARRIVES_WITHIN)

    async def _wait_for(self, count: int, seconds: float) -> None:
        """Wait until so many messages are here, or none has come for so many seconds."""
        while len(self._buffer) < count:
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                return
            if not self._channel.is_open:
                raise BrokerUnavailable(f"rabbitmq at {self._channel.place.address} closed the connection")

    async def attend(self, queues: Sequence[str]) -> None:
        await self._declare([need for queue in queues for need in self._routes.needs_of_delays(queue)])

    async def _listen_to(self, queues: Sequence[str]) -> None:
        await self.attend(queues)
        self._quorum = [queue for queue in queues if self._routes.is_quorum(queue)]
        await self._channel.consume(queues, quorum=self._quorum)
        self._queues = tuple(queues)

    async def _declare(self, needs: Sequence[Declared]) -> None:
        await asyncio.to_thread(self._publisher.declare, needs, deadline_at=time.monotonic() + _PUBLISH_WITHIN)

    def _take(self, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        room_bytes = CLAIM_MAX_BYTES
        while self._buffer and len(taken) < limit:
            room_bytes -= self._buffer[0].message.size_bytes
            if taken and room_bytes < 0:
                break
            taken.append(self._buffer.popleft())
        return taken

    def _receive(self, message: Delivered, serial: int) -> None:
        """Keep a message that has come until it is claimed; adopt it when its run is under way here."""
        if serial != self._serial:
            return
        place = Place(serial, message.tag)
        queue = self._channel.queue_of(message.consumer)
        carried = message.carried
        counts = read_counts(carried.headers)
        try:
            whole = read_carried(carried, queue=queue, sent_to=sent_to(message.exchange, message.key, queue))
            read, fault = within_limit(whole, self._message_max_bytes)
        except EncodeError as error:
            whole, fault = _unreadable(message, queue), str(error)
            read = msgspec.structs.replace(whole, headers=b"")
        run = f"{read.task_id} {carried.headers.get('retries', 0)} {counts.crashes}"
        redelivered = message.redelivered
        if redelivered and self._holdings.adopt(run, place):
            return
        if redelivered and run in self._given_back:
            self._given_back.discard(run)
            redelivered = False
        self._last_tag += 1
        delivery = Delivery(
            tag=self._last_tag,
            owner=serial,
            message=read,
            crashes=counts.crashes,
            node_losses=counts.node_losses // _LOSSES_PER_NODE,
            releases=counts.releases,
            redelivered=redelivered or counts.node_losses > 0,
            fault=fault,
        )
        self._holdings.add(Held(delivery, run, place))
        if whole is not read:
            self._whole[delivery.tag] = whole
        astray = is_astray(message.exchange, message.key, queue)
        if not astray and (
            not redelivered or fault is not None
        ):  # of the latter a copy would lack what cannot be handed over
            self._offer(delivery)
            return
        is_done = self._holdings.has_ended(run) or astray
        self._came_back.append(CameBack(delivery, counts, ended=is_done))
        if self._counting is None or self._counting.done():
            self._counting = asyncio.get_running_loop().create_task(self._count_losses())

    def _offer(self, delivery: Delivery) -> None:
        self._buffer.append(delivery)
        self._came.set()

    async def _count_losses(self) -> None:
        """Publish what somebody else has held before anew, with one loss more; the copies are what runs.

        What has ended here already is only acknowledged.
        """
        while self._came_back:
            batch, self._came_back = self._came_back, []
            now = self._clock.now()
            copies = [
                self._routes.outgoing(one.delivery.message, now=now, counts=one.more) for one in batch if not one.ended
            ]
            try:
                await self._publish(copies)
                await self._ack([one.delivery.tag for one in batch])
            except OperationalError as error:
                logger.warning("%d messages that came back cannot be counted, and run uncounted: %s", len(batch), error)
                for one in batch:
                    if self._holdings.get(one.delivery.tag) is not None:
                        self._offer(one.delivery)

    # -- settling -----------------------------------------------------------------------------------------------

    def shares_store_with(self, results: object) -> bool:
        return False

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        mine, refused = self._of_mine(settlements)
        now = self._clock.now()
        follows = [message for one in mine for message in one.publish]
        outgoing = [self._routes.outgoing(message, now=now) for message in follows if message.route is None]
        for message in follows:
            if message.route is not None:
                outgoing += await self._publish_to_exchange(message, now)
        for one in mine:
            if one.dead_reason is not None:
                whole = self._whole.get(one.delivery.tag, one.delivery.message)
                outgoing.append(self._dead_letters.outgoing(whole, one.dead_reason, died_at=now))
        if outgoing:
            await self._publish(outgoing)
        await self._ack([one.delivery.tag for one in mine])
        return refused

    async def _publish_to_exchange(self, message: Message, now: float) -> list[Outgoing]:
        """Publish what goes to an exchange; return what becomes of one that reaches nothing: a dead letter."""
        try:
            await self._publish([self._routes.outgoing(message, now=now)])
        except Unroutable as error:
            lost = msgspec.structs.replace(message, route=None)
            return [self._dead_letters.outgoing(lost, f"it reaches no queue: {error}", died_at=now)]
        return []

    def _of_mine(self, settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[Settlement]]:
        """Divide settlements into those of what is held here, each once, and the others."""
        mine: dict[int, Settlement] = {}
        refused = []
        for one in settlements:
            tag = one.delivery.tag
            if tag in mine or self._holdings.get(tag) is None:
                refused.append(one)
            else:
                mine[tag] = one
        return list(mine.values()), refused

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        if not outgoing:
            return
        deadline_at = time.monotonic() + _PUBLISH_WITHIN
        await asyncio.to_thread(self._publisher.publish, outgoing, deadline_at=deadline_at)

    async def _ack(self, tags: Sequence[int]) -> None:
        """Acknowledge what is held under these tags; what has lost its channel, when it comes again."""
        if not self._is_ready():
            self._note_lost()
        places = [self._holdings.end(tag) for tag in tags]
        for tag in tags:
            self._whole.pop(tag, None)
        await self._channel.ack([place.tag for place in places if place is not None], oldest=self._holdings.oldest())

    async def release(self, releases: Sequence[Release]) -> None:
        now = self._clock.now()
        anew: list[Outgoing] = []
        tags: list[int] = []
        back: list[int] = []
        for release in releases:
            delivery = release.delivery
            if self._holdings.get(delivery.tag) is None:
                continue
            soon = release.eta_at is None or release.eta_at - now < HELD_BY_NODES
            if release.cause is ReleaseCause.UNCOUNTED and soon:
                if release.eta_at is None:
                    back.append(delivery.tag)
                else:
                    self._hold(delivery, release.eta_at - now)
                continue
            counts = Counts(
                delivery.crashes + (release.cause is ReleaseCause.CRASH),
                delivery.node_losses * _LOSSES_PER_NODE,
                delivery.releases + (release.cause is ReleaseCause.UNKNOWN_TASK),
            )
            anew.append(self._routes.outgoing(delivery.message, now=now, counts=counts, due_at=release.eta_at))
            tags.append(delivery.tag)
        if anew:
            await self._publish(anew)
            await self._ack(tags)
        if back:
            await self._give_back(back)

    def _hold(self, delivery: Delivery, seconds: float) -> None:
        """Offer a message again in a moment, which is too short for the ladder."""
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.pop(delivery.tag, None)
            if self._holdings.get(delivery.tag) is not None:
                self._offer(delivery)

        self._timers[delivery.tag] = loop.call_later(max(0.0, seconds), due)

    async def _give_back(self, tags: Sequence[int]) -> None:
        self._given_back |= {held.run for tag in tags if (held := self._holdings.get(tag)) is not None}
        places = [self._holdings.remove(tag) for tag in tags]
        await self._channel.give_back([place.tag for place in places if place is not None])

    # -- what the server sees to, or cannot do ------------------------------------------------------------------

    async def extend(self) -> None:
        await self._connect()
        if self._buffer and time.monotonic() - self._claimed_at > _KEPT_FOR and not self._quorum:
            unclaimed = [delivery.tag for delivery in self._buffer]
            self._buffer.clear()
            await self._channel.allow(max(1, len(self._holdings) - len(unclaimed)))
            await self._give_back(unclaimed)

    async def recover(self) -> int:
        return 0

    async def peers(self) -> list[Incarnation]:
        return []

    async def reconcile(self, held: Collection[int]) -> int:
        kept = {*held, *self._timers, *(delivery.tag for delivery in self._buffer)}
        parked = [one.delivery.tag for one in self._holdings.besides(kept) if one.place is not None]
        if parked and not self._came_back and (self._counting is None or self._counting.done()):
            await self._give_back(parked)
            return len(parked)
        return 0

    def holds(self, delivery: Delivery) -> bool:
        return self._holdings.get(delivery.tag) is not None

    def note_started(self, delivery: Delivery) -> None:
        return  # the server marks what comes back from a dead node

    def note_ended(self, delivery: Delivery) -> None:
        return

    async def free(self, runs: Sequence[tuple[str, str]]) -> None:
        return

    async def book(self, requests: Sequence[RateRequest]) -> tuple[list[Booking], float]:
        raise _needs_store("a rate limit over all nodes")

    async def enter(self, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
        raise _needs_store("a concurrency key")


def _needs_store(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{what} needs a broker that keeps a store, and RabbitMQ has none; use redis:// or sqlite:// for these tasks"
    )


def _unreadable(delivered: Delivered, queue: str) -> Message:
    """Return a message whose headers cannot be told, with what they are made of in their place."""
    return Message(
        task_id=str(delivered.carried.properties.get("correlation_id") or ""),
        queue=queue,
        headers=dumps(unread(delivered.raw), name="headers"),
        body=delivered.carried.body,
    )
