"""Listening on RabbitMQ from an event loop: a connection and a queue per listener, made again when they are lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from celeriac.brokers.amqp.bus import hearing, listener_queue, name_of_queue, read_notice
from celeriac.brokers.amqp.channel import FORBIDDEN, LOST, REFUSED, declare, dial, some_turns
from celeriac.brokers.amqp.commands import consume
from celeriac.brokers.amqp.failures import unreachable
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace, Endpoint
from celeriac.brokers.mailbox import Mailbox
from celeriac.brokers.subscription import Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import EncodeError, OperationalError

logger: Final = logging.getLogger("celeriac.bus")

_NAPS: Final = (0.02, 0.1, 0.3, 1.0)
_WITHIN: Final = 5.0
_CLOSES_WITHIN: Final = 1.0


class Listening:
    """Listen for one subscription."""

    def __init__(
        self, place: AmqpPlace, options: AmqpOptions, topics: Sequence[Topic], keep: int, mailbox: Mailbox
    ) -> None:
        self.subscription = Subscription(topics, keep, self.stop)
        self._place = place
        self._options = options
        self._mailbox = mailbox
        self._queue = listener_queue(name_of_queue(topics, mailbox), mailbox)
        self._listens = itertools.count(1)
        self._connection: Any = None
        self._deaf = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, deadline_at: float) -> None:
        """Begin to listen.

        Raises:
            BrokerUnavailable: there is no connection by `deadline_at`, a monotonic instant.
            OperationalError: the server refuses; the text says what it says.
        """
        began_at = time.monotonic()
        while True:
            try:
                await self._connect(deadline_at)
                break
            except REFUSED as error:
                raise refused(error, self._place.address) from error
            except LOST as error:
                if time.monotonic() + _NAPS[0] >= deadline_at:
                    raise unreachable(error, self._place.address, time.monotonic() - began_at) from error
            await asyncio.sleep(_NAPS[0])
        self._keeper = asyncio.create_task(self._keep(), name="rabbitmq listener")

    async def stop(self) -> None:
        """Listen no more. May be called twice."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper is not asyncio.current_task():
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await self._disconnect()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, or the queue is deleted."""
        while True:
            await self._deaf.wait()
            self.subscription.miss()
            for attempt in range(1_000_000):
                await self._disconnect()
                if self._mailbox.exclusive:  # the queue is locked until the server notices that the connection is gone
                    self._queue = listener_queue(name_of_queue(self.subscription.topics, self._mailbox), self._mailbox)
                try:
                    await self._connect(time.monotonic() + _WITHIN * len(self._place.endpoints))
                    break
                except LOST as error:
                    level = logging.WARNING if isinstance(error, REFUSED) and not attempt else logging.DEBUG
                    logger.log(level, "nothing can be heard of rabbitmq at %s: %s", self._place.address, error)
                await asyncio.sleep(_NAPS[min(attempt, len(_NAPS) - 1)])

    async def _connect(self, deadline_at: float) -> None:
        """Listen on the first server that lets us, each of them within its share of the time; raises one of `LOST`."""
        endpoints = self._place.endpoints
        for number, endpoint in enumerate(endpoints):
            share = max(0.0, deadline_at - time.monotonic()) / (len(endpoints) - number)
            try:
                async with asyncio.timeout(min(share, self._options.connect_timeout or share)):
                    await self._listen_on(endpoint)
                return
            except BaseException as error:
                await self._disconnect()
                if not isinstance(error, LOST) or number == len(endpoints) - 1:
                    raise

    async def _listen_on(self, endpoint: Endpoint) -> None:
        self._connection, wire = await dial(self._place, self._options, endpoint)
        channel = await self._connection.channel(publisher_confirms=False)
        deaf = self._deaf = asyncio.Event()
        channel.closing.add_done_callback(lambda _: deaf.set())
        channel.on_consumer_cancel_callbacks.add(lambda _: deaf.set())
        for part in hearing(self._queue, self.subscription.topics):
            await declare(channel, part)
        # The driver would give the connection up for headers that it cannot read.
        wire.watch(channel.number, self._hear)
        # Before our own consumer that the server may not have noticed to be gone: it would have a share of what comes.
        arguments = {"x-priority": next(self._listens)}
        await consume(channel, self._queue.name, "celeriac", no_ack=True, arguments=arguments)

    def _hear(self, message: Delivered) -> None:
        try:
            notice = read_notice(message.carried, message.exchange, message.key)
        except EncodeError as error:
            self.subscription.leave_out(error)
            return
        self.subscription.put([notice])

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*LOST, asyncio.CancelledError):
                async with asyncio.timeout(_CLOSES_WITHIN):
                    await connection.close()
            await some_turns()


def refused(error: BaseException, where: str) -> OperationalError:
    """Say that a server lets nobody listen in the way that was asked, or not this user."""
    advice = "; control_queue_… and event_queue_… say how such queues are, and it never changes what is there"
    if isinstance(error, FORBIDDEN):
        advice = "; the user of the URL needs the permissions to configure, write and read there"
    return OperationalError(f"rabbitmq at {where} refuses a queue to listen with: {error}{advice}")
