"""Sleep until there may be something to claim, without asking again and again.

Redis tells a connection when a key changes that it has read (`CLIENT TRACKING`, Redis 6). An idle node reads its lists
and the delayed set over one connection of its own, whose notices go to another one: a subscription in protocol 2,
because redis-py swallows them in protocol 3. A key is told of once; what was told of is read again before the next
sleep. Nothing is taken, so a notice that is lost costs time and no message: who sleeps looks again every second or so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.redis.connections import AsyncConnection, aask, aconnect
from celeriac.brokers.redis.failures import ServerError
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.exceptions import OperationalError

logger: Final = logging.getLogger("celeriac.redis")

_CHANNEL: Final = b"__redis__:invalidate"
_TOGETHER: Final = 64
_WITHIN: Final = 1.5
_REFUSED_FOR: Final = 60.0


class Watched(msgspec.Struct):
    """Tell what was found while keys came under watch.

    Attributes:
        filled: lists, some of which hold something.
        next_due_at: instant at which the next delayed message is due, if the delayed set was read just now.
    """

    filled: list[bytes]
    next_due_at: float | None


class Wakes:
    """Watch keys for one event loop.

    Args:
        delayed: key of the delayed set.
        name: what the connections are called on the server.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions, *, delayed: bytes, name: str) -> None:
        self._place = place
        # Protocol 2 for both: notices can then be redirected, whatever version the node speaks otherwise.
        self._options = msgspec.structs.replace(options, protocol=2)
        self._delayed = delayed
        self._name = name
        self._event = asyncio.Event()
        self._armed: set[bytes] = set()
        self._noticed: set[bytes] = set()
        self._asking: AsyncConnection | None = None
        self._listening: AsyncConnection | None = None
        self._listener: asyncio.Task[None] | None = None
        self._refused_until = 0.0

    def begin_look(self) -> set[bytes]:
        """Forget what was told so far, and return the keys that it was about: whoever calls looks at them now."""
        self._event.clear()
        noticed, self._noticed = self._noticed, set()
        return noticed

    async def watch(self, names: Collection[bytes]) -> Watched | None:
        """Have a notice come when one of these lists, or the delayed set, changes.

        Returns:
            None when Redis, or what lies in between, does not tell; the caller polls then.
        """
        if time.monotonic() < self._refused_until:
            return None
        try:
            async with asyncio.timeout(_WITHIN):
                if self._asking is None:
                    await self._connect()
                return await self._read(names)
        except ServerError as error:
            logger.warning(
                "redis at %s does not tell of new messages (%s); asking it up to 200 times a second instead",
                self._place.address,
                error.text,
            )
            self._refused_until = time.monotonic() + _REFUSED_FOR
        except (OSError, OperationalError) as error:
            logger.debug("redis at %s does not tell of new messages for now: %s", self._place.address, error)
        await self.close()
        return None

    async def sleep(self, timeout: float) -> None:
        """Sleep until a notice comes, at most so many seconds."""
        if timeout <= 0 or self._event.is_set():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Let go of the connections; the next watch makes others. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None and listener is not asyncio.current_task():
            listener.cancel()
        connections = self._asking, self._listening
        self._asking = self._listening = None
        self._armed.clear()
        for connection in connections:
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def _connect(self) -> None:
        self._armed.clear()
        self._listening, first = await self._open(0)
        number = await aask(self._listening, ("CLIENT", "ID"))
        await aask(self._listening, ("SUBSCRIBE", _CHANNEL))
        self._listener = asyncio.create_task(self._listen(self._listening), name="redis notices")
        self._asking, _ = await self._open(first)
        await aask(self._asking, ("CLIENT", "TRACKING", "ON", "REDIRECT", number))

    async def _open(self, first: int) -> tuple[AsyncConnection, int]:
        return await aconnect(self._place, self._options, timeout=_WITHIN, name=self._name, first=first)

    async def _read(self, names: Collection[bytes]) -> Watched:
        """Read what is not under watch; ask for something in any case: a broken connection tells nothing by itself."""
        asking = self._asking
        assert asking is not None
        fresh = [name for name in names if name not in self._armed]
        self._armed.update(fresh)  # before it is read: its notice may come sooner than the answer
        filled: list[bytes] = []
        for at in range(0, len(fresh), _TOGETHER):
            together = fresh[at : at + _TOGETHER]
            if await aask(asking, ("EXISTS", *together)):
                filled += together
        if self._delayed in self._armed:
            if not fresh:
                await aask(asking, ("PING",))
            return Watched(filled, None)
        self._armed.add(self._delayed)
        first: Sequence[Any] = await aask(asking, ("ZRANGE", self._delayed, 0, 0, "WITHSCORES"))
        return Watched(filled, float(first[1]) if first else None)

    async def _listen(self, connection: AsyncConnection) -> None:
        try:
            while True:
                kind, _, names = await connection.read_response()
                if kind == b"message":
                    self._notice(names)
        except Exception as error:  # noqa: BLE001 - whatever it was, this connection tells nothing any more
            logger.debug("redis at %s tells of nothing any more: %r", self._place.address, error)
        if connection is self._listening:
            await self.close()
            self._event.set()

    def _notice(self, names: Sequence[bytes] | None) -> None:
        told = self._armed.copy() if names is None else set(names)  # None: the whole database was emptied
        self._armed -= told
        self._noticed |= told
        self._event.set()
