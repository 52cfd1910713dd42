"""Wake processes that sleep until something was committed.

After a commit the writer touches a side file, and sleepers watch that file. The write-ahead log itself cannot be
watched: its last write comes before the commit can be seen, and 196 of 1,000 wake-ups were lost that way. Nothing is
registered anywhere, so nothing goes stale when a sleeper is killed. With nobody watching a ring costs 0.8 µs.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import select
import sys
import time
from pathlib import Path
from typing import Final

from celeriac.brokers.sqlite.place import open_beside

logger: Final = logging.getLogger("celeriac.sqlite")

_IN_MODIFY: Final = 0x02
_IN_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC

_SPINS: Final = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1

BLIND_NAP: Final = 0.02
"""Seconds after which a sleeper looks again where no watch could be had."""

WATCHED_NAP: Final = 0.1
"""Seconds after which one looks beside a watch, in case it is blind: to what another kernel writes, on some mounts."""


class Bell:
    """Ring one side file. Use from any thread; open it anew after a fork."""

    def __init__(self, database: Path, suffix: str) -> None:
        self._descriptor = open_beside(database, suffix)
        self._path = os.fsencode(f"{database}{suffix}")
        self._resting: list[Watch] = []

    def ring(self) -> None:
        try:  # not `suppress`, which costs as much as the write
            os.pwrite(self._descriptor, b"x", 0)
        except OSError as exc:  # what was committed is committed; sleepers look by themselves as well
            logger.debug("a bell could not be rung: %s", exc)

    def watch(self) -> Watch:
        """Begin to notice rings; those from before are not noticed. Hand it to `rest` when it is not needed."""
        try:
            watch = self._resting.pop()
        except IndexError:
            watch = Watch()
        watch.begin(self._path)
        return watch

    def rest(self, watch: Watch) -> None:
        """Keep a watch for the next one who asks.

        Closing an inotify descriptor takes 8 ms and more, as the kernel waits for its readers everywhere; taking the
        file out of it takes 2 µs.
        """
        watch.end()
        self._resting.append(watch)

    def close(self) -> None:
        os.close(self._descriptor)
        for watch in self._resting:
            watch.close()


class Watch:
    """Notice that a bell was rung.

    `descriptor` becomes readable then, and stays so until `drain`: rings in between merge. It is None where there is
    no inotify, or none left to give (`fs.inotify.max_user_instances`).

    The order that misses nothing: drain, look in the database, and only then sleep.
    """

    def __init__(self) -> None:
        self.descriptor = _inotify() if sys.platform == "linux" else None
        self._watched = -1

    @property
    def nap(self) -> float:
        """Seconds after which a sleeper looks by itself, in case the watch is blind."""
        return BLIND_NAP if self.descriptor is None else WATCHED_NAP

    def begin(self, path: bytes) -> None:
        if self.descriptor is not None:
            self._watched = _libc().inotify_add_watch(self.descriptor, path, _IN_MODIFY)
            if self._watched < 0:
                self.close()

    def end(self) -> None:
        if self.descriptor is not None:
            _libc().inotify_rm_watch(self.descriptor, self._watched)

    def drain(self) -> None:
        if self.descriptor is not None:
            try:  # not `suppress`: three calls more, on the way of every wake-up
                os.read(self.descriptor, 4096)
            except BlockingIOError:
                return

    def spin(self, timeout: float) -> bool:
        """Look for a ring for `timeout` seconds without sleeping; say whether there was one.

        Whoever has not slept notices at once: 0.1 to 0.25 ms earlier, as a processor that has gone idle takes long to
        come back. Others go first where processors are short, and with a single one nobody spins.
        """
        if self.descriptor is None or not _SPINS:
            return False
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        until = time.monotonic() + timeout
        while not (rung := bool(poll.poll(0))) and time.monotonic() < until:
            os.sched_yield()
        return rung

    def sleep(self, timeout: float) -> None:
        """Block this thread until a ring or for `timeout` seconds."""
        if self.descriptor is None:
            time.sleep(min(timeout, BLIND_NAP))
        else:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            poll.poll(max(0.0, timeout) * 1000)

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _inotify() -> int | None:
    descriptor = int(_libc().inotify_init1(_IN_FLAGS))
    return descriptor if descriptor >= 0 else None
