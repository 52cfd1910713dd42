"""What a listener has subscribed to, and what it has not fetched yet: bounded, filled from any thread."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from celeriac.brokers.topics import Topic
from celeriac.wire.notices import Notice

logger: Final = logging.getLogger("celeriac.bus")

KEEP: Final = 10_000
"""Notices that are kept for a listener who does not fetch them, unless it says otherwise."""

KEEP_BYTES: Final = 64 * 1024 * 1024
"""What those notices weigh at most; a single one may weigh more."""


class Subscription:
    """Listen to topics. A lost connection is made again by itself; what was said meanwhile is lost.

    It is made in the listener's event loop by `Station.subscribe`, and used there by one coroutine at a time. `put`,
    `miss` and `leave_out` are for the adapter, which may call them in any thread.

    Args:
        topics: what to hear.
        keep: notices that may wait to be fetched; the oldest make room for newer ones.
        stop: what the adapter does when listening ends; may be called twice.
        keep_bytes: what those notices weigh at most.

    Attributes:
        dropped: notices that were not fetched in time, and made room for newer ones.
        gaps: times that nothing could be heard for a while. Whoever must not miss a thing looks, after one, where
            it is kept (such as revoked ids in the store).
        unreadable: what was left out because it is no notice. The first one is logged.
        is_closed: True once nothing will be heard any more.
    """

    def __init__(
        self, topics: Sequence[Topic], keep: int, stop: Callable[[], Awaitable[None]], *, keep_bytes: int = KEEP_BYTES
    ) -> None:
        if keep < 1:
            raise ValueError(f"a listener keeps at least 1 notice, got keep={keep}")
        self.topics = tuple(topics)
        self.dropped = 0
        self.gaps = 0
        self.unreadable = 0
        self.is_closed = False
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._notices: deque[Notice] = deque()
        self._bytes = 0
        self._woken: asyncio.Future[None] | None = None

    # -- the listener's side ------------------------------------------------------------------------------------

    async def hear(self, *, timeout: float | None = None) -> list[Notice]:
        """Return what was said since the last call, in its order; wait while there is nothing.

        Returns:
            Nothing when nothing was said for `timeout` seconds (None: no end), or when the subscription was closed.
        """
        found, woken = self._take_or_enter()
        if woken is None or timeout == 0:
            return found
        with suppress(TimeoutError):
            await asyncio.wait_for(woken, timeout)
        return self._take_or_enter()[0]

    async def __aiter__(self) -> AsyncIterator[Notice]:
        """Yield notice by notice until the subscription is closed."""
        while notices := await self.hear():
            for notice in notices:
                yield notice

    async def close(self) -> None:
        """Stop listening. May be called twice, and while somebody waits in `hear`."""
        self.end()
        await self._stop()

    # -- the adapter's side -------------------------------------------------------------------------------------

    def put(self, notices: Iterable[Notice]) -> None:
        """Add those notices that the topics include. Never waits; what comes after the end is forgotten."""
        heard = [one for one in notices if any(topic.includes(one.exchange, one.routing_key) for topic in self.topics)]
        if not heard:
            return
        with self._lock:
            if self.is_closed:
                return
            for notice in heard:
                self._notices.append(notice)
                self._bytes += notice.size_bytes
                while len(self._notices) > self._keep or (self._bytes > self._keep_bytes and len(self._notices) > 1):
                    self._bytes -= self._notices.popleft().size_bytes
                    self.dropped += 1
            woken, self._woken = self._woken, None
        self._wake(woken)

    def miss(self) -> None:
        """Count that nothing could be heard for a while."""
        self.gaps += 1

    def leave_out(self, why: Exception) -> None:
        """Count something that is no notice, and log the first."""
        self.unreadable += 1
        if self.unreadable == 1:
            logger.warning("left out what is no notice: %s; more of them are only counted", why)

    def end(self) -> None:
        """Forget what is kept and let `hear` return."""
        with self._lock:
            self.is_closed = True
            self._notices.clear()
            woken, self._woken = self._woken, None
        self._wake(woken)

    def _take_or_enter(self) -> tuple[list[Notice], asyncio.Future[None] | None]:
        """Return what is kept; or, while nothing is, the future that the next `put` ends."""
        with self._lock:
            if self._notices or self.is_closed:
                found = list(self._notices)
                self._notices.clear()
                self._bytes = 0
                return found, None
            self._woken = self._loop.create_future()
            return [], self._woken

    def _wake(self, woken: asyncio.Future[None] | None) -> None:
        if woken is not None:
            with suppress(RuntimeError):  # the loop was closed without the listener's knowledge
                self._loop.call_soon_threadsafe(_end, woken)


def _end(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
