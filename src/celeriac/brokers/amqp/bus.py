"""A bus on RabbitMQ, in Celery's exchanges: its workers, clients and monitors take part."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.carried import Carried, Outgoing, plain
from celeriac.brokers.amqp.deadlines import ending_at
from celeriac.brokers.amqp.dialing import listen, socket_of
from celeriac.brokers.amqp.failures import LOST, driver
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.amqp.publisher import Publisher
from celeriac.brokers.amqp.tables import UNREAD
from celeriac.brokers.amqp.topology import Binding, Exchange, Queue
from celeriac.brokers.bus import REPLY_EXPIRES, Bus, BusCapabilities, Inbox, Station, check_sizes
from celeriac.brokers.mailbox import MAILBOX, Mailbox
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import EncodeError
from celeriac.ids import new_id
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.notices import Notice
from celeriac.wire.properties import PERSISTENT

logger: Final = logging.getLogger("celeriac.bus")

_TRANSIENT: Final = 1
_STEP: Final = 1.0


class AmqpBus(Bus):
    """Say things to whoever listens in one virtual host."""

    capabilities = BusCapabilities(
        crosses_processes=True, crosses_machines=True, reaches_celery=True, has_mailboxes=True
    )

    def __init__(self, place: AmqpPlace, options: AmqpOptions, publisher: Publisher) -> None:
        self.place = place
        self.options = options
        self._publisher = publisher

    @property
    def url(self) -> str:
        return self.place.url

    def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if notices:
            self._publisher.publish([outgoing(one) for one in notices], deadline_at=deadline_at)

    def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        self.broadcast(notices, deadline_at=deadline_at)

    def inbox(
        self, exchange: str, *, deadline_at: float, expires: float = REPLY_EXPIRES, mailbox: Mailbox = MAILBOX
    ) -> AmqpInbox:
        expires = expires if mailbox.expires is None else min(expires, mailbox.expires)
        inbox = AmqpInbox(self.place, self.options, exchange, msgspec.structs.replace(mailbox, expires=expires))
        inbox.open(deadline_at)
        return inbox

    def station(self) -> Station:
        return AmqpStation(self)

    def close(self) -> None:
        self._publisher.close()


class AmqpInbox(Inbox):
    """Receive answers in a queue of its own connection, which goes with it."""

    def __init__(self, place: AmqpPlace, options: AmqpOptions, exchange: str, mailbox: Mailbox) -> None:
        self.exchange = exchange
        self.routing_key = new_id()
        self._place = place
        self._options = options
        self._mailbox = mailbox
        self._connection: Any = None
        self._found: deque[Notice] = deque()
        self._closed = False

    def open(self, deadline_at: float) -> None:
        """Connect and begin to listen, unless that is done."""
        if self._connection is not None or self._closed:
            return
        # Each time another, for that of a connection that was lost may be locked for a while.
        queue = listener_queue(f"{new_id()}.{self.exchange}", self._mailbox)
        self._connection = listen(
            self._place,
            self._options,
            _hearing(queue, Topic(self.exchange, self.routing_key)),
            queue.name,
            self._receive,
            "opening an inbox",
            deadline_at=deadline_at,
        )

    def _receive(self, message: Delivered) -> None:
        try:
            notice = read_notice(message.carried, message.exchange, message.key)
        except EncodeError as error:
            logger.warning("left out what is no answer: %s", error)
            return
        self._found.append(notice)

    def collect(self, *, deadline_at: float) -> list[Notice]:
        while True:
            self.open(max(deadline_at, time.monotonic() + _STEP))
            self._drain(deadline_at)
            if self._found or self._closed or time.monotonic() >= deadline_at:
                found = list(self._found)
                self._found.clear()
                return found

    def _drain(self, deadline_at: float) -> None:
        """Take what has come; wait for the first of it, and not for an end of what somebody says all the time."""
        connection = self._connection
        if connection is None:
            return
        ends_at = max(deadline_at, time.monotonic() + _STEP)
        try:
            while (now := time.monotonic()) < ends_at:
                connection.drain_events(timeout=0.01 if self._found else max(deadline_at - now, 0.01))
        except TimeoutError:
            return
        except (*LOST, driver.AMQPError):
            self._connection = None
            with contextlib.suppress(Exception):
                connection.collect()

    def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception), ending_at(time.monotonic() + _STEP, lambda: socket_of(connection)):
                connection.close()


class AmqpStation(Station):
    """Say things, and listen, in one event loop."""

    def __init__(self, bus: AmqpBus) -> None:
        self._bus = bus
        self._listening: list[Any] = []

    async def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        await asyncio.to_thread(self._bus.broadcast, notices, deadline_at=deadline_at)

    async def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        await asyncio.to_thread(self._bus.reply, notices, deadline_at=deadline_at)

    async def subscribe(
        self, topics: Sequence[Topic], *, deadline_at: float, keep: int = KEEP, mailbox: Mailbox = MAILBOX
    ) -> Subscription:
        from celeriac.brokers.amqp.listening import Listening

        listening = Listening(self._bus.place, self._bus.options, topics, keep, mailbox)
        self._listening.append(listening)
        await listening.start(deadline_at)
        return listening.subscription

    async def close(self) -> None:
        while self._listening:
            await self._listening.pop().subscription.close()


def exchange_of(name: str) -> Exchange:
    """Return how Celery declares an exchange: of commands, of replies to them, or of events."""
    if name.startswith("reply."):
        return Exchange(name=name, type="direct", durable=False)
    if name.endswith(".pidbox"):
        return Exchange(name=name, type="fanout", durable=False)
    return Exchange(name=name, type="topic")


def listener_queue(name: str, mailbox: Mailbox) -> Queue:
    """Return the queue of a listener, kept as Celery has it kept."""
    seconds = {"x-expires": mailbox.expires, "x-message-ttl": mailbox.ttl}
    return Queue(
        name=name,
        durable=mailbox.durable,
        auto_delete=not mailbox.durable,
        exclusive=mailbox.exclusive,
        arguments=tuple((key, max(1, int(value * 1000))) for key, value in seconds.items() if value is not None),
    )


def name_of_queue(topics: Sequence[Topic], mailbox: Mailbox) -> str:
    """Return what the queue of a listener is called."""
    if mailbox.name and not mailbox.exclusive:
        return mailbox.name
    if mailbox.prefix:
        return f"{mailbox.prefix}.{new_id()}"
    return f"{new_id()}.{topics[0].exchange}" if topics else new_id()


def _hearing(queue: Queue, topic: Topic) -> list[Exchange | Queue | Binding]:
    exchange = exchange_of(topic.exchange)
    return [exchange, queue, Binding(source=exchange.name, target=queue.name, key=topic.pattern)]


def hearing(queue: Queue, topics: Sequence[Topic]) -> list[Exchange | Queue | Binding]:
    """Return what is declared to have topics come into a queue, each notice once."""
    return list(dict.fromkeys(part for topic in topics for part in _hearing(queue, topic)))


def outgoing(notice: Notice) -> Outgoing:
    """Return how something is said."""
    headers = loads(notice.headers)
    properties = {
        "content_type": notice.content_type,
        "content_encoding": notice.content_encoding,
        "delivery_mode": PERSISTENT if notice.persistent else _TRANSIENT,
        "priority": 0,
    }
    carried = Carried(headers if isinstance(headers, dict) else {}, properties, notice.body)
    return Outgoing(carried, notice.exchange, notice.routing_key, (exchange_of(notice.exchange),), mandatory=False)


def read_notice(carried: Carried, exchange: str, routing_key: str) -> Notice:
    """Read what was heard.

    Raises:
        EncodeError: its headers cannot be read, or hold what JSON cannot.
    """
    if UNREAD in carried.headers:
        raise EncodeError("its headers cannot be read")
    said = carried.properties
    return Notice(
        exchange=exchange,
        routing_key=routing_key,
        body=carried.body,
        headers=dumps(plain(carried.headers), name="headers"),
        content_type=str(said.get("content_type") or ""),
        content_encoding=str(said.get("content_encoding") or "utf-8"),
        persistent=said.get("delivery_mode") == PERSISTENT,
    )
