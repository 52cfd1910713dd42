"""A worker's connection to RabbitMQ: one channel that messages come from and are acknowledged on.

When the channel is gone, for whatever reason, all that it has delivered is in the queues again. `serial` tells one
channel from the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlencode

from celeriac.brokers.amqp.failures import refusal, unanswered, unreachable
from celeriac.brokers.amqp.frames import Delivered, acks, give_backs
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace, Endpoint
from celeriac.brokers.amqp.revoked import MARK, OFFSET
from celeriac.brokers.amqp.topology import Binding, Declared, Exchange, Queue
from celeriac.brokers.amqp.wire import Wire
from celeriac.exceptions import BrokerUnavailable, ExtraMissing
from celeriac.ids import new_id

try:
    import aiormq

    from celeriac.brokers.amqp import commands
except ImportError as missing:
    raise ExtraMissing('a worker on amqp:// needs more packages: pip install "celeriac[amqp]"') from missing

_WITHIN: Final = 5.0
_CLOSES_WITHIN: Final = 2.0
_serials: Final = itertools.count(1)

_EXACT_UP_TO: Final = 16
_STEP: Final = 64
_QUORUM_PREFETCH: Final = 32
_PREFETCH_MAX: Final = 65_535
_TURNS: Final = 5
_SHOWN: Final = 50
"""Letters of the name of a queue in the tags of its consumers, which have 255 bytes."""

LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncio.InvalidStateError,
    aiormq.exceptions.AMQPError,
    aiormq.exceptions.ConnectionClosed,
)

FORBIDDEN: Final = aiormq.exceptions.ChannelAccessRefused
"""What a server says to a user that has no permission."""

REFUSED: Final = (
    FORBIDDEN,
    aiormq.exceptions.ChannelLockedResource,
    aiormq.exceptions.ChannelPreconditionFailed,
)
"""What a server says that closes a channel for what was asked on it, and would again; not that something is gone."""

_LOST_MEANWHILE: Final[tuple[type[BaseException], ...]] = (*LOST, asyncio.CancelledError)


class ChannelRefused(BrokerUnavailable):
    """Say that the server has closed a channel for what was asked on it. What the connection had is lost with it."""


class WorkerChannel:
    """Hold the connection of one node.

    Attributes:
        receive: called with each message that has come, in order, and the serial number of its channel.
        receive_copy: the same for copies of messages that are under way here (`hold.py`), which have a channel of
            their own: no prefetch keeps them back.
        serial: number of the channel, from 1; 0 before the first.
        closed_because: what the server has said when it closed a channel, or "".
    """

    def __init__(self, place: AmqpPlace, options: AmqpOptions) -> None:
        self.place = place
        self.options = options
        self.serial = 0
        self.receive: Callable[[Delivered, int], None] = _ignore
        self.receive_copy: Callable[[Delivered, int], None] = _ignore
        self.closed_because = ""
        self._wire: Wire
        self._connection: Any = None
        self._channel: Any = None
        self._copies: Any = None
        self._following: Any = None
        self._copy_tags: dict[str, str] = {}
        self._first = 0
        self._prefetch = 0
        self._each = _QUORUM_PREFETCH
        self._consuming: dict[str, str] = {}
        self._changing = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._arguments: dict[str, Mapping[str, Any]] = {}
        self._quorum: set[str] = set()
        self._queues: dict[str, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether messages can come and be acknowledged."""
        return (
            self._channel is not None
            and not self._channel.is_closed
            and not self._connection.is_closed
            and (self._copies is None or not self._copies.is_closed)
        )

    @property
    def is_following(self) -> bool:
        """Whether what comes into a stream is told: the server ends that when somebody deletes the stream."""
        following = self._following
        return following is not None and not following.is_closed and bool(following.consumers)

    async def open(self) -> None:
        """Connect, unless that is done.

        Raises:
            BrokerUnavailable: no server could be reached.
        """
        if self.is_open:
            return
        await self.close()
        last: BrokerUnavailable | None = None
        endpoints = self.place.endpoints
        for number in range(self._first, self._first + len(endpoints)):
            endpoint = endpoints[number % len(endpoints)]
            try:
                async with asyncio.timeout(self.options.connect_timeout or _WITHIN):
                    self._connection, self._wire = await dial(self.place, self.options, endpoint)
                    self._channel = await self._connection.channel(publisher_confirms=False)
            except _LOST_MEANWHILE as error:
                await self.close()
                if _is_cancelled(error):
                    raise
                last = unreachable(error, endpoint.address, self.options.connect_timeout or _WITHIN)
                continue
            self._first = number % len(endpoints)
            self.serial = next(_serials)
            self._wire.watch(self._channel.number, partial(self._receive, self.serial))
            self._channel.closing.add_done_callback(self._note_closed)
            return
        assert last is not None
        raise last

    def _receive(self, serial: int, message: Delivered) -> None:
        if self._channel is not None:  # else it is being closed, and what still comes goes back
            self.receive(message, serial)

    def _receive_copy(self, serial: int, message: Delivered) -> None:
        if self.is_open:  # the server may have closed the other channel alone
            self.receive_copy(message, serial)

    async def close(self) -> None:
        """Close the connection; what was delivered goes back to its queues. May be called twice."""
        connection, self._connection = self._connection, None
        self._channel = self._copies = self._following = None
        self._consuming.clear()
        self._copy_tags.clear()
        self._prefetch = 0
        if connection is not None:
            with contextlib.suppress(*LOST, asyncio.CancelledError):
                async with asyncio.timeout(_CLOSES_WITHIN):
                    await connection.close()
            await some_turns()

    async def consume(
        self, queues: Mapping[str, Mapping[str, Any]], *, quorum: Collection[str], temporary: Collection[str] = ()
    ) -> None:
        """Have messages come from these queues, and from no others.

        Where one of them is a quorum queue, each has a limit of its own, and the channel none: see `allow`.

        Args:
            queues: each with the arguments of its consumer; what is consumed already keeps those that it has.
            quorum: those of them that are quorum queues.
            temporary: those that end with their last consumer.
        """
        async with self._changing:
            await self._see_that_it_is_open()
            is_otherwise = bool(self._quorum) != bool(quorum)
            self._quorum, self._arguments = set(quorum), dict(queues)
            for queue in list(self._consuming):
                if queue not in queues or (is_otherwise and queue not in temporary):
                    await self._do(self._channel.basic_cancel(self._consuming.pop(queue)))
            if is_otherwise and not quorum:
                await self._do(self._channel.basic_qos(prefetch_count=0, global_=False))
                await self._do(self._channel.basic_qos(prefetch_count=max(1, self._prefetch), global_=True))
            for queue in queues:
                if is_otherwise or queue not in self._consuming:
                    await self._begin_consuming(queue)

    async def _begin_consuming(self, queue: str) -> None:
        """Begin to consume a queue, in the place of the consumer that it has, with the limit that holds now."""
        before, number = self._consuming.get(queue), next(self._numbers)
        tag = f"celeriac-{self.serial}-{number}-{queue[:_SHOWN]}"
        self._queues[tag] = queue
        if self._quorum:  # this takes the limit of the whole channel away
            await self._do(self._channel.basic_qos(prefetch_count=self._each, global_=False))
        arguments = self._arguments[queue]
        await self._do(commands.consume(self._channel, queue, tag, arguments=arguments))
        self._consuming[queue] = tag
        if before is not None:
            await self._do(self._channel.basic_cancel(before))

    def forget_cancelled(self) -> list[str]:
        """Return the queues from which the server sends nothing any more: somebody has deleted them.

        They are not consumed then, until they are asked for again.
        """
        channel = self._channel
        if channel is None or len(channel.consumers) >= len(self._consuming):  # nearly always
            return []
        cancelled = [queue for queue, tag in self._consuming.items() if tag not in channel.consumers]
        for queue in cancelled:
            del self._consuming[queue]
        return cancelled

    async def declare_own(self, needs: Collection[Declared]) -> None:
        """Declare what belongs to this connection alone, and ends with it.

        Raises:
            ImproperlyConfigured: another connection has it, or it is otherwise.
        """
        if not needs:
            return
        await self._see_that_it_is_open()
        channel = await self._do(self._connection.channel(publisher_confirms=False))  # of its own: it may be closed
        for need in needs:
            try:
                async with asyncio.timeout(_WITHIN):
                    await declare(channel, need)
            except aiormq.exceptions.ChannelClosed as error:
                raise refusal(error, self.place.address, "declaring queues") from error
            except _LOST_MEANWHILE as error:
                if _is_cancelled(error):
                    raise
                raise self._lost(error) from error
        await self._do(channel.close())

    async def follow(self, stream: str, heard: Callable[[int], None]) -> None:
        """Be told the offsets of what comes into a stream, from its last chunk on, over a channel of its own."""
        await self._see_that_it_is_open()
        before, self._following = self._following, None
        if before is not None and not before.is_closed:
            await self._do(before.close())
        channel = await self._do(self._connection.channel(publisher_confirms=False))
        await self._do(channel.basic_qos(prefetch_count=_QUORUM_PREFETCH, global_=False))

        wire, number = self._wire, channel.number

        def come(message: Delivered) -> None:
            headers = message.carried.headers
            offset = headers.get(OFFSET)
            if isinstance(offset, int) and MARK not in headers:
                heard(offset)
            with contextlib.suppress(ConnectionError):
                wire.write(acks(number, [message.tag], upto=None))

        wire.watch(number, come)
        await self._do(commands.consume(channel, stream, "celeriac", arguments={OFFSET: "last"}))
        self._following = channel

    async def receive_copies(self, copies: Queue) -> None:
        """Declare a queue of copies, and have what is in it come.

        One call at a time.

        Raises:
            ChannelRefused: the server does not let us.
        """
        channel = await self._channel_of_copies()
        arguments = dict(copies.arguments)
        await self._do(commands.declare_queue(channel, copies.name, durable=copies.durable, arguments=arguments))
        tag = self._copy_tags[copies.name] = f"celeriac-{new_id()}"
        await self._do(commands.consume(channel, copies.name, tag))

    async def _channel_of_copies(self) -> Any:
        await self._see_that_it_is_open()
        if self._copies is None:
            connection = self._connection
            channel = await self._do(connection.channel(publisher_confirms=False))
            if connection is not self._connection:
                lost = ConnectionError("it was closed meanwhile")
                raise self._lost(lost) from lost
            self._copies = channel
            channel.closing.add_done_callback(self._note_closed)
            self._wire.watch(channel.number, partial(self._receive_copy, self.serial))
        return self._copies

    async def count_copies(self, names: Collection[str]) -> int:
        """Count the copies that wait in queues; those that have been sent before are received by then."""
        copies = self._copies
        if copies is None:
            return 0
        count = await self._count(copies, names)
        await some_turns()
        return count

    async def _count(self, channel: Any, names: Collection[str]) -> int:
        told = [await self._do(commands.declare_queue(channel, name, passive=True)) for name in names]
        return sum(one.message_count or 0 for one in told)

    async def end_copies(self, names: Collection[str]) -> None:
        """Delete queues of copies that are empty."""
        for name in names:
            if self._copies is not None and not await self.count_copies([name]):
                tag = self._copy_tags.pop(name)
                await self._do(self._copies.basic_cancel(tag))  # else the server does, and the driver warns of it
                await self._do(commands.delete_queue(self._copies, name))

    async def ack_copies(self, tags: Collection[int]) -> None:
        """Acknowledge copies."""
        if tags:
            await self._write(acks(0 if self._copies is None else int(self._copies.number), tags, upto=None))

    def _note_closed(self, closing: Any) -> None:
        if not closing.cancelled() and closing.exception() is not None:
            self.closed_because = str(closing.exception())

    def queue_of(self, consumer_tag: str) -> str:
        """Return the queue that a consumer's messages come from."""
        return self._queues[consumer_tag]

    async def allow(self, count: int, *, held: int = 0, exactly: bool = False) -> None:
        """Let so many messages be unacknowledged, more or less: each change is a round trip.

        Quorum queues know no limit of a whole channel; where there are any, each queue has its own, which grows when
        what is under way has reached it.

        Args:
            held: how many are under way while no other is here.
        """
        if self._quorum:
            if held >= self._each:
                self._each = min(held + _QUORUM_PREFETCH, _PREFETCH_MAX)
                async with self._changing:
                    for queue in list(self._consuming):
                        await self._see_that_it_is_open()
                        if queue in self._consuming:  # nobody has deleted it meanwhile
                            await self._begin_consuming(queue)
            return
        wanted = count if exactly or count <= _EXACT_UP_TO else (count + _STEP - 1) // _STEP * _STEP
        wanted = min(wanted, _PREFETCH_MAX)
        if wanted != self._prefetch:
            await self._see_that_it_is_open()
            self._prefetch = wanted
            await self._do(self._channel.basic_qos(prefetch_count=wanted, global_=True))

    async def waiting(self, queues: Collection[str]) -> int:
        """Count what waits in queues, and is with nobody."""
        await self._see_that_it_is_open()
        return await self._count(self._channel, queues)

    async def ack(self, tags: Collection[int], *, oldest: int | None) -> None:
        """Acknowledge messages of this channel.

        Args:
            oldest: the lowest tag that stays unacknowledged; all below it go in one command.
        """
        left = sorted(tags)
        together = sum(oldest is None or tag < oldest for tag in left)
        upto = left[together - 1] if together else None
        if left:
            await self._write(acks(self._channel_number(), left[together:], upto=upto))

    async def give_back(self, tags: Collection[int]) -> None:
        """Give messages back to where they were in their queues."""
        if tags:
            await self._write(give_backs(self._channel_number(), tags))

    def _channel_number(self) -> int:
        return 0 if self._channel is None else int(self._channel.number)

    async def _write(self, frames: bytes) -> None:
        """Send what the server does not answer; the driver would take a turn of the loop for each of it."""
        await self._see_that_it_is_open()
        try:
            self._wire.write(frames)
        except ConnectionError as error:
            await self.close()
            raise self._lost(error) from error

    async def _see_that_it_is_open(self) -> None:
        if not self.is_open:
            await self.close()
            lost = ConnectionError("it was closed meanwhile")
            raise self._lost(lost) from lost

    async def _do(self, call: Any) -> Any:
        connection = self._connection
        try:
            async with asyncio.timeout(_WITHIN):
                return await call
        except _LOST_MEANWHILE as error:
            if _is_cancelled(error):
                raise
            if connection is self._connection:
                await self.close()  # whatever it was, messages may be lost on this channel: begin anew
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> BrokerUnavailable:
        if isinstance(error, aiormq.exceptions.ChannelClosed):
            return ChannelRefused(f"rabbitmq at {self.place.address} has closed a worker's channel: {error}")
        return unanswered(error, self.place.address, "a worker's channel was lost", _WITHIN, sent=True)


async def dial(place: AmqpPlace, options: AmqpOptions, endpoint: Endpoint) -> tuple[Any, Wire]:
    """Return a connection of aiormq, logged in, and what it is made of; raises one of `LOST`."""
    wire = Wire(options)
    scheme = "amqps" if options.tls is not None else "amqp"
    who = f"{quote(endpoint.username, safe='')}:{quote(endpoint.password, safe='')}"
    where = f"{endpoint.address}/{quote(place.virtual_host, safe='')}"
    said = urlencode({"heartbeat": options.heartbeat, "auth": options.login_method or "PLAIN"})
    told = {"product": "celeriac", **dict(options.client_properties)}
    connection = await aiormq.connect(
        f"{scheme}://{who}@{where}?{said}", transport_factory=wire, client_properties=told
    )
    wire.end_when_silent(options.heartbeat, options.heartbeat_looks)
    return connection, wire


async def declare(channel: Any, what: Declared) -> None:
    """Declare one thing on a channel of aiormq; it is no error that it is there, if it is the same."""
    match what:
        case Exchange():
            await commands.declare_exchange(
                channel,
                what.name,
                what.type,
                durable=what.durable,
                auto_delete=what.auto_delete,
                arguments=dict(what.arguments),
            )
        case Binding():
            if what.to_exchange:
                await commands.bind_exchange(channel, what.target, what.source, what.key)
            else:
                await commands.bind_queue(channel, what.target, what.source, what.key, dict(what.arguments))
        case _:
            await commands.declare_queue(
                channel,
                what.name,
                durable=what.durable,
                exclusive=what.exclusive,
                auto_delete=what.auto_delete,
                arguments=dict(what.arguments),
            )


async def some_turns() -> None:
    """Let the driver's tasks hand over what has come, or end with the transport, which takes some turns of the loop."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _is_cancelled(error: BaseException) -> bool:
    """Say whether somebody cancels this task; the driver raises the same where a connection is closed meanwhile."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _ignore(message: Delivered, serial: int) -> None:
    """Receive nothing: nobody consumes yet."""
