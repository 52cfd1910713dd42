"""What RabbitMQ pushes to a worker, from its coming until it is claimed.

What this node is at work on is adopted, and begins nothing. What somebody else has held before is published anew with
one loss more, and the copy is what runs. Everything else waits in a buffer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.amqp.carried import COPY, NO_COUNTS, Counts, Outgoing, read_carried, read_counts
from celeriac.brokers.amqp.channel import WorkerChannel
from celeriac.brokers.amqp.claims import Claims
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.hold import Hold
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.amqp.topology import is_astray, sent_to
from celeriac.brokers.amqp.unreadable import unreadable
from celeriac.brokers.base import Delivery
from celeriac.brokers.sizes import within_limit
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable, EncodeError, OperationalError
from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.amqp")

LOSSES_PER_NODE: Final = 2
"""Times that a message came back before it counts as lost with one node: blips and stops send messages back, too."""

_CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024
"""What the messages of one claim may weigh together; a single one may weigh more."""


class CameBack(msgspec.Struct, frozen=True, gc=False):
    """Be a message that somebody has held before.

    Attributes:
        ended: its run ended here, when it could not be acknowledged.
    """

    delivery: Delivery
    counts: Counts
    ended: bool


class Arrivals:
    """Take what has come to one node.

    Args:
        hold: knows what stands for something under way.
        publish: publishes, and returns when all is confirmed.
        message_max_bytes: larger messages are handed over without their parts.

    Attributes:
        last_tag: of the delivery that was made last.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        holdings: Holdings,
        claims: Claims,
        hold: Hold,
        routes: Routes,
        publish: Callable[[Sequence[Outgoing]], Awaitable[None]],
        *,
        clock: Clock,
        message_max_bytes: int,
    ) -> None:
        self._channel = channel
        channel.receive = self._receive
        channel.receive_copy = self._receive_copy
        self._holdings = holdings
        self._claims = claims
        self._hold = hold
        self._routes = routes
        self._publish = publish
        self._clock = clock
        self._message_max_bytes = message_max_bytes
        self.last_tag = 0
        self._buffer: deque[Delivery] = deque()
        self._came = asyncio.Event()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._whole: dict[int, Message] = {}  # what cannot be handed over as it is, for its dead letter
        self._came_back: list[CameBack] = []
        self._counting: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    # -- what waits ---------------------------------------------------------------------------------------------

    async def wait_for(self, count: int, seconds: float) -> None:
        """Wait until so many messages are here, or none has come for so many seconds.

        Raises:
            BrokerUnavailable: the connection was lost.
        """
        while len(self._buffer) < count:
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                return
            if not self._channel.is_open:
                raise BrokerUnavailable(f"rabbitmq at {self._channel.place.address} closed the connection")

    def take(self, limit: int) -> list[Delivery]:
        """Hand out what waits, so many at most, and no more than a claim may weigh."""
        taken: list[Delivery] = []
        room_bytes = _CLAIM_MAX_BYTES
        while self._buffer and len(taken) < limit:
            room_bytes -= self._buffer[0].message.size_bytes
            if taken and room_bytes < 0:
                break
            taken.append(self._buffer.popleft())
        return taken

    def take_all(self, *, upto: int | None = None) -> list[Delivery]:
        """Hand out all that waits, or what has come under tags that are not higher than this."""
        taken = []
        while self._buffer and (upto is None or self._buffer[0].tag <= upto):
            taken.append(self._buffer.popleft())
        return taken

    def offer(self, delivery: Delivery) -> None:
        """Let something be claimed."""
        self._buffer.append(delivery)
        self._came.set()

    def offer_later(self, delivery: Delivery, seconds: float) -> None:
        """Offer a message again in a moment, which is too short for the ladder."""
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.pop(delivery.tag, None)
            if delivery.tag in self._holdings:
                self.offer(delivery)

        self._timers[delivery.tag] = loop.call_later(max(0.0, seconds), due)

    def whole(self, delivery: Delivery) -> Message:
        """Return a message as it has come, also when it is too large to be handed over."""
        return self._whole.get(delivery.tag, delivery.message)

    def forget(self, tags: Sequence[int]) -> None:
        """Keep nothing more of what has ended."""
        if self._whole:
            for tag in tags:
                self._whole.pop(tag, None)

    def prune(self) -> None:
        """Keep nothing more of what is not held, however that came."""
        self.forget([tag for tag in self._whole if tag not in self._holdings])

    @property
    def waiting(self) -> frozenset[int]:
        """Tags of what nobody has claimed yet."""
        return frozenset((*self._timers, *(one.tag for one in self._buffer)))

    @property
    def counts_losses(self) -> bool:
        """Whether some of what has come back is not counted yet."""
        return bool(self._came_back) or not (self._counting is None or self._counting.done())

    async def counted(self) -> None:
        """Return when what has come back by now is counted."""
        if self._counting is not None:
            await self._counting

    def lose_channel(self) -> None:
        """Forget what has come and nobody has claimed: it comes again, but for what comes as a copy."""
        came, self._buffer = self._buffer, deque()
        for delivery in came:
            held = self._holdings.get(delivery.tag)
            if held is not None and held.acked_on:
                self._buffer.append(delivery)
            elif held is not None:
                self._holdings.remove(delivery.tag)
                self._claims.note_given_back(held.run, claimed=delivery.redelivered)

    def close(self) -> None:
        """Offer nothing more, and nothing later."""
        self._buffer.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # -- what comes ---------------------------------------------------------------------------------------------

    def _receive_copy(self, message: Delivered, serial: int) -> None:
        if serial == self._channel.serial:
            self._hold.take(message.carried.headers, Place(serial, message.tag, is_copy=True))

    def _receive(self, message: Delivered, serial: int) -> None:
        """Keep a message that has come until it is claimed; adopt it when its run is under way here."""
        if serial != self._channel.serial:
            return
        place = Place(serial, message.tag)
        self._holdings.note_place(place)  # first of all: what cannot be read stays with the server
        carried = message.carried
        if COPY in carried.headers and self._hold.take(carried.headers, place):
            return
        queue = self._channel.queue_of(message.consumer)
        counts = read_counts(carried.headers)
        try:
            whole = read_carried(carried, queue=queue, sent_to=sent_to(message.exchange, message.key, queue))
            read, fault = within_limit(whole, self._message_max_bytes)
        except EncodeError as error:
            whole, fault = unreadable(message, queue), str(error)
            read = msgspec.structs.replace(whole, headers=b"")
        run = f"{read.task_id} {carried.headers.get('retries', 0)} {counts.crashes}"
        is_lost = message.redelivered
        had_before = is_lost or counts != NO_COUNTS
        if is_lost:
            if self._holdings.adopt(run, place):
                return
            if self._holdings.is_spare(run, serial):
                self._claims.drop(place)
                return
            claimed = self._claims.take_given_back(run)
            if claimed is not None:
                is_lost, had_before = False, claimed or counts != NO_COUNTS
        self.last_tag += 1
        delivery = Delivery(
            tag=self.last_tag,
            owner=serial,
            message=read,
            crashes=counts.crashes,
            node_losses=counts.node_losses // LOSSES_PER_NODE,
            releases=counts.releases,
            redelivered=had_before,
            fault=fault,
        )
        self._holdings.add(Held(delivery, run, place, counts.node_losses))
        if whole is not read:
            self._whole[delivery.tag] = whole
        astray = is_astray(message.exchange, message.key, queue)
        if not astray and (not is_lost or fault is not None):  # of these a copy would lack what is not handed over
            self.offer(delivery)
            return
        is_done = self._holdings.has_ended(run) or astray
        self._came_back.append(CameBack(delivery, counts, ended=is_done))
        if self._counting is None or self._counting.done():
            self._counting = asyncio.get_running_loop().create_task(self._count_losses())

    async def _count_losses(self) -> None:
        """Publish what somebody else has held before anew, with one loss more; the copies are what runs.

        What has ended here already is only acknowledged.
        """
        while self._came_back:
            batch, self._came_back = self._came_back, []
            unended = [one for one in batch if not one.ended]
            done = [one.delivery.tag for one in batch if one.ended]
            now = self._clock.now()
            try:
                await self._publish(
                    [self._routes.outgoing(one.delivery.message, now=now, counts=one.counts.more) for one in unended]
                )
            except (OperationalError, EncodeError) as error:  # one of them may have no room for a header more
                logger.warning("%d messages that came back cannot be counted, and run uncounted: %s", len(batch), error)
                for one in unended:
                    if one.delivery.tag in self._holdings:
                        self.offer(one.delivery)
            else:
                done += [one.delivery.tag for one in unended]
            await self._claims.end(done)
