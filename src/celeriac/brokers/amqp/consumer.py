"""The worker's side of the broker on RabbitMQ.

The server pushes; what has come waits in a buffer of its own until it is claimed (`arrivals.py`). A claim belongs to
the connection that it came on: when that breaks the server has the message again, and gives it to whoever is there. So
leases, and the recovery of what dead nodes held, are the server's business. Only what takes long has a lease of its own
(`hold.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.amqp.arrivals import Arrivals
from celeriac.brokers.amqp.carried import Counts, Outgoing
from celeriac.brokers.amqp.channel import WorkerChannel, some_turns
from celeriac.brokers.amqp.claims import Claims
from celeriac.brokers.amqp.dead_letters import DeadLetters
from celeriac.brokers.amqp.held import Held, Holdings
from celeriac.brokers.amqp.hold import Hold
from celeriac.brokers.amqp.long_runs import timeout_told
from celeriac.brokers.amqp.publisher import Publisher
from celeriac.brokers.amqp.revoked import RevokedOnRabbitMQ
from celeriac.brokers.amqp.routes import HELD_BY_NODES, Routes
from celeriac.brokers.amqp.topology import MADE_AGAIN_AFTER, REVOCATIONS, Declared, revocation_stream
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
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured, Unroutable
from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.amqp")

_PUBLISH_WITHIN: Final = 10.0
_ARRIVES_WITHIN: Final = 5.0
"""Seconds without a message after which a claim that only looks believes the server no more, which pushes."""

_COMES_AGAIN_WITHIN: Final = 0.2

_KEPT_FOR: Final = 1.0
"""Seconds for which a message is kept that has come and is not claimed; a quorum queue would count its return."""


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
        self._publisher = publisher
        self._routes = routes
        self._dead_letters = dead_letters
        self._revoked = revoked
        self._incarnation = incarnation
        self._clock = clock
        self._holdings = Holdings()
        self._claims = Claims(channel, self._holdings)
        options = channel.options
        self._hold = Hold(
            channel,
            self._holdings,
            self._claims,
            self._publish,
            self._declare,
            lambda held: _counts(held).more,
            timeout=options.consumer_timeout,
            queue_type=options.delayed_queue_type,
        )
        self._arrivals = Arrivals(
            channel,
            self._holdings,
            self._claims,
            self._hold,
            routes,
            self._publish,
            clock=clock,
            message_max_bytes=message_max_bytes,
        )
        self._connecting = asyncio.Lock()
        self._listening = asyncio.Lock()
        self._ready = 0
        self._is_open = False
        self._claimed_at = 0.0
        self._revoked_version = 0
        self._quorum: list[str] = []
        self._wanted: tuple[str, ...] = ()
        self._queues: tuple[str, ...] = ()

    @property
    def owner(self) -> int:  # type: ignore[override]  # read only here
        return self._channel.serial

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self.close()
        self._hold.begin()
        await self._connect()
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        try:
            await self._hold.close()
        finally:
            await self._channel.close()
            self._lose_channel()
            self._arrivals.close()
            self._holdings.clear()
            self._claims.forget_given_back()
            self._wanted = ()

    async def _connect(self) -> None:
        """Make sure that there is a connection; what the one before has delivered is to be adopted."""
        if self._is_connected and self._channel.is_following:
            return
        async with self._connecting:  # the claim, the settlement and the lease come here at once
            if not self._is_connected:
                await self._connect_anew()
            elif not self._channel.is_following:
                logger.warning("%s was deleted on the server; declaring it again", REVOCATIONS)
                self._publisher.forget_declared()
                await self._follow()

    @property
    def _is_connected(self) -> bool:
        return self._ready == self._channel.serial and self._channel.is_open

    async def _connect_anew(self) -> None:
        self._learn(self._channel.closed_because)
        self._lose_channel()
        await self._channel.open()
        self._lose_channel()  # the connection before may have brought some more until it was closed
        try:
            await self._follow()
            await self._hold.resume()
        except BaseException:
            await self._channel.close()  # what is not made ready looks as if it were
            raise
        self._ready = self._channel.serial

    async def _follow(self) -> None:
        """Be told of what is revoked from now on, and know the version of what is by now."""
        await self._declare([revocation_stream(REVOCATION_EXPIRES)])
        await self._channel.follow(REVOCATIONS, self._note_revoked)
        deadline_at = time.monotonic() + _PUBLISH_WITHIN
        version = await asyncio.to_thread(self._revoked.version, deadline_at=deadline_at)
        self._revoked_version = max(self._revoked_version, version)

    def _learn(self, closed_because: str) -> None:
        """Learn from a server that has lost patience how much it has."""
        self._channel.closed_because = ""
        seconds = timeout_told(closed_because)
        if seconds is not None:
            logger.warning(
                "rabbitmq at %s has taken back what was not acknowledged within %.0f s, its consumer_timeout; what "
                "runs goes on. Set broker_consumer_timeout to that, and the messages of long runs are seen to before",
                self._channel.place.address,
                seconds,
            )
            self._hold.runs.timeout = seconds

    def _note_revoked(self, offset: int) -> None:
        self._revoked_version = max(self._revoked_version, self._revoked.version_at(offset))

    def _lose_channel(self) -> None:
        """Forget what has come and nobody has claimed; keep what is under way, until it comes again."""
        self._arrivals.lose_channel()
        self._holdings.lose_channel()
        self._hold.lose_channel()
        self._queues = ()

    # -- claiming -----------------------------------------------------------------------------------------------

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        if not self._is_open:
            raise BrokerUnavailable("this consumer is not open; call open() first")
        await self._connect()
        held = max(0, self._holdings.needs_room - len(self._arrivals))
        await self._channel.allow(held + limit, held=0 if self._arrivals else held)
        self._wanted = tuple(queues)
        await self._listen()
        self._claimed_at = time.monotonic()
        if wait <= 0:
            await self._look(queues, limit)
        elif not self._arrivals:
            await self._arrivals.wait_for(1, wait)
        return Claim(self._arrivals.take(limit), self._clock.now(), self._revoked_version)

    async def _look(self, queues: Sequence[str], limit: int) -> None:
        """Wait until all is here that the server has for us now. What it sent before it answers is here by then."""
        await self._arrivals.counted()
        if self._claims.given_back:  # it comes again at once, to us or to somebody else
            await self._arrivals.wait_for(len(self._arrivals) + self._claims.given_back, _COMES_AGAIN_WITHIN)
        ready = await self._channel.waiting(queues)
        await some_turns()
        await self._arrivals.wait_for(min(limit, len(self._arrivals) + ready), _ARRIVES_WITHIN)

    async def attend(self, queues: Sequence[str]) -> None:
        await self._declare([need for queue in queues for need in self._routes.needs_of_delays(queue)])
        await self._channel.declare_own([need for queue in queues for need in self._routes.needs_of_node(queue)])

    async def _listen(self) -> None:
        """Have messages come from the queues that were claimed from last."""
        async with self._listening:  # the claim and the lease come here at once
            deleted = self._channel.forget_cancelled()
            if deleted:
                logger.warning("queues %s were deleted on the server; declaring them again", ", ".join(deleted))
                if self._quorum:
                    await asyncio.sleep(MADE_AGAIN_AFTER)  # other nodes may not have been told yet
                self._publisher.forget_declared()
                self._queues = ()
            queues = self._wanted
            if self._queues == queues:
                return
            await self.attend(queues)
            self._quorum = [queue for queue in queues if self._routes.is_quorum(queue)]
            arguments = {queue: self._routes.consumer_arguments(queue) for queue in queues}
            temporary = [queue for queue in queues if self._routes.is_temporary(queue)]
            await self._channel.consume(arguments, quorum=self._quorum, temporary=temporary)
            self._queues = queues

    async def _declare(self, needs: Sequence[Declared]) -> None:
        await asyncio.to_thread(self._publisher.declare, needs, deadline_at=time.monotonic() + _PUBLISH_WITHIN)

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
                whole = self._arrivals.whole(one.delivery)
                outgoing.append(self._dead_letters.outgoing(whole, one.dead_reason, died_at=now))
        await self._publish(outgoing)
        tags = [one.delivery.tag for one in mine]
        await self._claims.end(tags)
        self._arrivals.forget(tags)
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
            if tag in mine or tag not in self._holdings:
                refused.append(one)
            else:
                mine[tag] = one
        return list(mine.values()), refused

    async def _publish(self, outgoing: Sequence[Outgoing]) -> None:
        if not outgoing:
            return
        deadline_at = time.monotonic() + _PUBLISH_WITHIN
        await asyncio.to_thread(self._publisher.publish, outgoing, deadline_at=deadline_at)

    async def release(self, releases: Sequence[Release]) -> None:
        now = self._clock.now()
        anew: list[tuple[Held, Outgoing]] = []
        back: list[int] = []
        for release in releases:
            delivery = release.delivery
            held = self._holdings.get(delivery.tag)
            if held is None:
                continue
            if release.cause is ReleaseCause.UNCOUNTED:
                if held.acked_on:
                    pass  # a copy stands for it, and whoever gets that takes it for the end
                elif release.eta_at is None:
                    back.append(delivery.tag)
                    continue
                elif release.eta_at - now < HELD_BY_NODES:
                    self._arrivals.offer_later(delivery, release.eta_at - now)
                    continue
            counts = _counts(held)
            counts = Counts(
                counts.crashes + (release.cause is ReleaseCause.CRASH),
                counts.node_losses,
                counts.releases + (release.cause is ReleaseCause.UNKNOWN_TASK),
            )
            anew.append((held, self._routes.outgoing(delivery.message, now=now, counts=counts, due_at=release.eta_at)))
        await self._claims.give_back(back, claimed=True)  # at once: no copy is to come before
        await self._replace(anew)

    async def _replace(self, anew: Sequence[tuple[Held, Outgoing]]) -> None:
        """Publish messages in the place of what is held."""
        if anew:
            await self._publish([outgoing for _, outgoing in anew])
            await self._claims.end([held.delivery.tag for held, _ in anew], goes_on=True)

    # -- what the server sees to, or cannot do ------------------------------------------------------------------

    async def extend(self) -> None:
        await self._connect()
        if self._wanted and not self._queues and self._holdings.count_unplaced():
            needed = self._holdings.needs_room  # for what runs is to be adopted
            await self._channel.allow(needed, held=needed, exactly=True)
            await self._listen()
        if self._arrivals and time.monotonic() - self._claimed_at > _KEPT_FOR and not self._quorum:
            await self._give_back_unclaimed()
        self._arrivals.prune()
        self._hold.runs.note(self._arrivals.last_tag, time.monotonic())
        await self._send_on(self._arrivals.take_all(upto=self._hold.runs.old(time.monotonic())))
        self._hold.look(waiting=self._arrivals.waiting)

    async def _give_back_unclaimed(self) -> None:
        """Give back what nobody has claimed, and have nothing come in its place.

        But for one message, where a queue would end with its last consumer.
        """
        unclaimed = self._arrivals.take_all()
        stay = self._holdings.count_placed() - len(unclaimed)
        if stay > 0 or any(self._routes.is_temporary(queue) for queue in self._queues):
            await self._channel.allow(max(1, stay), exactly=True)
        else:  # no number says that none is to come
            await self._stop_listening()
        await self._give_back(unclaimed)

    async def take_no_more(self) -> None:
        if self._channel.is_open:
            await self._stop_listening()
            await some_turns()
            await self._give_back(self._arrivals.take_all())

    async def _stop_listening(self) -> None:
        self._wanted = ()
        async with self._listening:
            self._queues = ()
            await self._channel.consume({}, quorum=())

    async def _send_on(self, unclaimed: Iterable[Delivery]) -> None:
        """Put what nobody has claimed for long at the end of its queue, before the server takes everything back.

        What was not handed over whole cannot be published, and goes back to where it was.
        """
        held = self._held(unclaimed)
        unpublishable = (one.delivery.tag for one in held if one.delivery.fault is not None)
        await self._claims.give_back(unpublishable, claimed=False)
        await self._put_anew(one for one in held if one.delivery.fault is None)

    async def _give_back(self, unclaimed: Iterable[Delivery]) -> None:
        """Give back what nobody has claimed: as it is, or anew when a copy stands for it."""
        held = self._held(unclaimed)
        await self._claims.give_back((one.delivery.tag for one in held if not one.acked_on), claimed=False)
        await self._put_anew(one for one in held if one.acked_on)

    def _held(self, deliveries: Iterable[Delivery]) -> list[Held]:
        return [held for one in deliveries if (held := self._holdings.get(one.tag)) is not None]

    async def _put_anew(self, all_held: Iterable[Held]) -> None:
        now = self._clock.now()
        await self._replace(
            [(one, self._routes.outgoing(one.delivery.message, now=now, counts=_counts(one))) for one in all_held]
        )

    async def recover(self) -> int:
        return 0

    async def peers(self) -> list[Incarnation]:
        return []

    async def reconcile(self, held: Collection[int]) -> int:
        kept = {*held, *self._arrivals.waiting}
        parked = [one for one in self._holdings.besides(kept) if one.place is not None]
        if not parked or self._arrivals.counts_losses:
            return 0
        await self.release([Release(delivery=one.delivery) for one in parked])
        return len(parked)

    def holds(self, delivery: Delivery) -> bool:
        return delivery.tag in self._holdings

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


def _counts(held: Held) -> Counts:
    return Counts(held.delivery.crashes, held.losses, held.delivery.releases)


def _needs_store(what: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{what} needs a broker that keeps a store, and RabbitMQ has none; use redis:// or sqlite:// for these tasks"
    )
