"""Tell receivers of signals what happens in a supervisor, beside its loop.

Receivers are code of users. They are called one after another in a thread of their own, so that none of them can cost
the node its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

logger: Final = logging.getLogger("celeriac.worker")

_BEHIND: Final = 1_000
_WAITING_MAX: Final = 100_000


class Announcer:
    """Make calls in the order in which they were asked for, in one thread, which starts with the first of them."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, Callable[[], object]] | None] = queue.Queue(_WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._awaited_in_vain: asyncio.Event | None = None

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that nothing more should be done that is to be told."""
        return self._waiting.qsize() > _BEHIND

    def say(self, signal: str, tell: Callable[[], object]) -> None:
        """Have `tell` called; never waits.

        Args:
            signal: its name, for the log.
        """
        try:
            self._waiting.put_nowait((signal, tell))
        except queue.Full:
            logger.warning("receivers of signals are too slow: those of %s are not told", signal)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
            self._thread.start()

    async def catch_up(self, timeout: float) -> None:
        """Wait until all is told that was asked for so far, for at most so many seconds.

        Receivers that were waited for in vain are not waited for again until they have caught up.
        """
        late = self._awaited_in_vain
        if self._thread is None or self.is_behind or (late is not None and not late.is_set()):
            return
        loop, told = asyncio.get_running_loop(), asyncio.Event()

        def note_told() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(told.set)

        self._waiting.put_nowait(("", note_told))
        try:
            async with asyncio.timeout(timeout):
                await told.wait()
        except TimeoutError:
            self._awaited_in_vain = told

    def stop(self, timeout: float) -> None:
        """Wait, for at most so many seconds, until all has been told. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        began = time.monotonic()
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
        thread.join(max(0.0, timeout - (time.monotonic() - began)))
        if thread.is_alive():
            logger.warning("receivers of signals are still busy after %g s; they are not waited for", timeout)

    def _run(self) -> None:
        while (said := self._waiting.get()) is not None:
            signal, tell = said
            try:
                tell()
            except BaseException:  # SystemExit too: without this thread nothing more would be told, nor claimed
                logger.exception("the receivers of %s could not be told", signal)
