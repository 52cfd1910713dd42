"""Tell receivers of signals what happens in a supervisor, beside its loop.

Receivers are code of users. They are called one after another in a thread of their own, so that none of them can cost
the node its lease.
"""

from __future__ import annotations

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
