"""A worker's connection to RabbitMQ: one channel that messages come from and are acknowledged on.

When the channel is gone, for whatever reason, all that it has delivered is in the queues again. `serial` tells one
channel from the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import quote

from celeriac.brokers.amqp.failures import unanswered, unreachable
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace, Endpoint
from celeriac.exceptions import BrokerUnavailable, ExtraMissing

try:
    import aiormq
except ImportError as missing:
    raise ExtraMissing('a worker on amqp:// needs more packages: pip install "celeriac[amqp]"') from missing

_WITHIN: Final = 5.0
_CLOSES_WITHIN: Final = 2.0
_serials: Final = itertools.count(1)

_EXACT_UP_TO: Final = 16
_STEP: Final = 64
_QUORUM_PREFETCH: Final = 32
_PREFETCH_MAX: Final = 65_535

LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncio.InvalidStateError,
    aiormq.exceptions.AMQPError,
    aiormq.exceptions.ConnectionClosed,
)


class WorkerChannel:
    """Hold the connection of one node.

    Attributes:
        receive: called with each message that has come, in order, and the serial number of its channel.
        serial: number of the channel, from 1; 0 before the first.
        why_lost: what the server said when it closed the last one.
    """

    def __init__(self, place: AmqpPlace, options: AmqpOptions) -> None:
        self.place = place
        self.options = options
        self.serial = 0
        self.why_lost: BaseException | None = None
        self.receive: Callable[[Any, int], None] = _ignore
        self._connection: Any = None
        self._channel: Any = None
        self._first = 0
        self._prefetch = 0
        self._consuming: dict[str, str] = {}
        self._quorum: set[str] = set()
        self._queues: dict[str, str] = {}

    @property
    def is_open(self) -> bool:
        """Whether messages can come and be acknowledged."""
        return self._channel is not None and not self._channel.is_closed and not self._connection.is_closed

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
                    self._connection = await aiormq.connect(self._url(endpoint), context=self.options.tls)
                    self._channel = await self._connection.channel(publisher_confirms=False)
            except LOST as error:
                await self.close()
                last = unreachable(error, endpoint.address, self.options.connect_timeout or _WITHIN)
                continue
            self._first = number % len(endpoints)
            self.serial = next(_serials)
            return
        assert last is not None
        raise last

    def _url(self, endpoint: Endpoint) -> str:
        scheme = "amqps" if self.options.tls is not None else "amqp"
        who = f"{quote(endpoint.username, safe='')}:{quote(endpoint.password, safe='')}"
        where = quote(self.place.virtual_host, safe="")
        return f"{scheme}://{who}@{endpoint.address}/{where}?heartbeat={self.options.heartbeat}"

    async def close(self) -> None:
        """Close the connection; what was delivered goes back to its queues. May be called twice."""
        connection, self._connection, self._channel = self._connection, None, None
        self._consuming.clear()
        self._prefetch = 0
        if connection is not None:
            with contextlib.suppress(*LOST, asyncio.CancelledError):
                async with asyncio.timeout(_CLOSES_WITHIN):
                    await connection.close()

    async def consume(self, queues: Collection[str], *, quorum: Collection[str]) -> None:
        """Have messages come from these queues, and from no others.

        Args:
            quorum: those of them that are quorum queues, whose prefetch is fixed and their own.
        """
        self._quorum = set(quorum)
        for queue in [queue for queue in self._consuming if queue not in queues]:
            await self._do(self._channel.basic_cancel(self._consuming.pop(queue)))
        for queue in queues:
            if queue not in self._consuming:
                serial = self.serial

                async def come(message: Any, serial: int = serial) -> None:
                    self.receive(message, serial)

                tag = f"celeriac-{serial}-{queue}"
                self._queues[tag] = queue
                if queue in self._quorum:
                    await self._do(self._channel.basic_qos(prefetch_count=_QUORUM_PREFETCH, global_=False))
                await self._do(self._channel.basic_consume(queue, come, consumer_tag=tag))
                self._consuming[queue] = tag

    def queue_of(self, consumer_tag: str) -> str:
        """Return the queue that a consumer's messages come from."""
        return self._queues[consumer_tag]

    async def allow(self, count: int) -> None:
        """Let so many messages be unacknowledged, more or less: each change is a round trip.

        Quorum queues know no limit of a whole channel; where there are any, each queue has its own.
        """
        if self._quorum:
            return
        wanted = count if count <= _EXACT_UP_TO else (count + _STEP - 1) // _STEP * _STEP
        if wanted != self._prefetch:
            self._prefetch = min(wanted, _PREFETCH_MAX)
            await self._do(self._channel.basic_qos(prefetch_count=self._prefetch, global_=True))

    async def waiting(self, queues: Collection[str]) -> int:
        """Count what waits in queues, and is with nobody."""
        counts = [
            (await self._do(self._channel.queue_declare(queue, passive=True))).message_count or 0 for queue in queues
        ]
        return sum(counts)

    async def ack(self, tags: Collection[int], *, oldest: int | None) -> None:
        """Acknowledge messages of this channel.

        Args:
            oldest: the lowest tag that stays unacknowledged; all below it go in one command.
        """
        left = sorted(tags)
        if not left:
            return
        together = [tag for tag in left if oldest is None or tag < oldest]
        if together:
            await self._do(self._channel.basic_ack(together[-1], multiple=True, wait=False))
        for tag in left[len(together) :]:
            await self._do(self._channel.basic_ack(tag, wait=False))

    async def give_back(self, tags: Collection[int]) -> None:
        """Give messages back to where they were in their queues."""
        for tag in tags:
            await self._do(self._channel.basic_nack(tag, requeue=True, wait=False))

    async def _do(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(_WITHIN):
                return await call
        except LOST as error:
            self.why_lost = error
            raise unanswered(error, self.place.address, "a worker's channel was lost", _WITHIN, sent=True) from error


def _ignore(message: Any, serial: int) -> None:
    """Receive nothing: nobody consumes yet."""
