"""Feed a subscription from the channels of Redis, over a connection of its own that is made again when it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from celeriac.brokers.redis.channels import Channels
from celeriac.brokers.redis.connections import AsyncConnection, aconnect, streams_of
from celeriac.brokers.redis.dialing import MORE, new_reader, pack
from celeriac.brokers.redis.failures import ServerError, refusal, unanswered
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.subscription import Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import DecodeError, OperationalError
from celeriac.wire.notices import Notice, read_notice

logger: Final = logging.getLogger("celeriac.bus")

_READ_SIZE: Final = 65_536
_PING_AFTER: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there; after as many more it is not."""

_CONNECT_WITHIN: Final = 3.0
_NAPS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_REMEMBERED: Final = 1_000


class Listening:
    """Hear what is said on the channels of some topics, and put it into a subscription, until that is closed."""

    def __init__(self, place: RedisPlace, options: RedisOptions, topics: Sequence[Topic], keep: int) -> None:
        self.subscription = Subscription(topics, keep, self._stop)
        self._place = place
        self._options = options
        self._patterns = Channels(place, options).patterns(topics)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._connection: AsyncConnection | None = None
        self._first = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self, deadline_at: float) -> None:
        """Begin to hear.

        Raises:
            BrokerUnavailable: the server cannot be reached by a monotonic instant.
            OperationalError: it does not let this user listen.
        """
        started_at = time.monotonic()
        try:
            await self._connect(deadline_at - started_at)
        except OSError as error:
            seconds = time.monotonic() - started_at
            raise unanswered(error, self._place.address, "PSUBSCRIBE", seconds, sent=False) from error
        self._task = asyncio.create_task(self._run(), name="celeriac-bus")

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._disconnect()

    async def _run(self) -> None:
        lost = 0
        while True:
            try:
                if self._connection is None:
                    await self._connect(_CONNECT_WITHIN)
                lost = 0
                await self._hear()
            except Exception as error:
                await self._disconnect()
                if lost == 0:
                    self.subscription.miss()
                    bug = None if isinstance(error, (OSError, OperationalError)) else error
                    logger.warning(
                        "nothing is heard from redis at %s: %s; trying again until it is",
                        self._place.address,
                        error,
                        exc_info=bug,
                    )
                # With jitter: all nodes of a fleet lose the same server at the same moment.
                await asyncio.sleep(_NAPS[min(lost, len(_NAPS) - 1)] * random.uniform(0.5, 1.0))
                lost += 1

    # -- one connection -----------------------------------------------------------------------------------------

    async def _connect(self, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            self._connection, self._first = await aconnect(
                self._place, self._options, timeout=timeout, name="celeriac-bus", first=self._first
            )
            self._reader = new_reader()
            await self._send("PSUBSCRIBE", *self._patterns)
            confirmed = 0
            while confirmed < len(self._patterns):
                answers = await self._receive()
                confirmed += len(of_kind(b"psubscribe", answers))
                self._put(answers)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _hear(self) -> None:
        """Hear until the connection is lost."""
        asked = False
        while True:
            try:
                async with asyncio.timeout(_PING_AFTER):
                    answers = await self._receive()
            except TimeoutError:
                if asked:
                    raise ConnectionResetError(f"no answer for {_PING_AFTER} s") from None
                await self._send("PING")
                asked = True
            else:
                asked = False
                self._put(answers)

    async def _send(self, *words: str) -> None:
        assert self._connection is not None
        _, writer = streams_of(self._connection)
        writer.write(pack(words))
        await writer.drain()

    async def _receive(self) -> list[Any]:
        """Return what has come, at least one answer."""
        assert self._connection is not None
        stream, _ = streams_of(self._connection)
        found: list[Any] = []
        while not found:
            data = await stream.read(_READ_SIZE)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self._reader.feed(data, 0, len(data))
            while (answer := self._reader.gets()) is not MORE:
                if isinstance(answer, ServerError):
                    raise refusal(answer, self._place.address, "PSUBSCRIBE")
                found.append(answer)
        return found

    def _put(self, answers: list[Any]) -> None:
        heard = [self._read(raw) for _, _, _, raw in of_kind(b"pmessage", answers)]
        self.subscription.put(notice for notice in heard if notice is not None)

    def _read(self, raw: bytes) -> Notice | None:
        """Return a notice; None for what is none, and for one that was heard already.

        Whoever has got no answer says it again; and two patterns may include one channel.
        """
        try:
            notice, tag = read_notice(raw)
        except DecodeError as error:
            self.subscription.leave_out(error)
            return None
        return None if tag and self.is_known(tag) else notice

    def is_known(self, tag: str) -> bool:
        """Say whether what has this tag was heard before, and remember it."""
        if tag in self._seen:
            return True
        self._seen[tag] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return False


def of_kind(kind: bytes, answers: list[Any]) -> list[Any]:
    """Return what the server says of its own accord, and not the answers to PING."""
    return [answer for answer in answers if isinstance(answer, list) and answer and answer[0] == kind]
