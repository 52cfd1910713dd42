"""Feed a subscription from the file of a bus: look after every ring, in the listener's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from celeriac.brokers.sqlite.notices import RANGE, read_rows, since
from celeriac.brokers.sqlite.store import Store
from celeriac.brokers.subscription import Subscription
from celeriac.brokers.topics import Topic
from celeriac.clock import until_tick
from celeriac.exceptions import ImproperlyConfigured, OperationalError

logger: Final = logging.getLogger("celeriac.bus")

_NET: Final = 0.5
"""Seconds after which to look although no bell rang, for watches that turn out blind: what is said may be lost."""

_BUSY_NAP: Final = 0.001
"""Seconds until the next look, when this one would have had to wait for another thread."""


class Listening:
    """Look for what is said after now, and put it into a subscription, until that is closed.

    Args:
        store: the open file.
        topics: what to hear.
        keep: as for the subscription.
        reopen: opens the file anew, after it was deleted or replaced.
    """

    def __init__(self, store: Store, topics: Sequence[Topic], keep: int, reopen: Callable[[], Store]) -> None:
        self.subscription = Subscription(topics, keep, self._stop)
        self._reopen = reopen
        self._since = since(topics)
        self._loop = asyncio.get_running_loop()
        self._in_trouble = False
        self._watch_file(store)
        self._number = _range_of(store)[1]
        self._timer = self._loop.call_later(until_tick(self._net), self._look)

    def _watch_file(self, store: Store) -> None:
        self._store = store  # held on to: its bell must not be closed meanwhile
        watch = self._watch = store.work.watch()
        self._net = watch.nap if watch.descriptor is None else _NET
        if watch.descriptor is not None:
            self._loop.add_reader(watch.descriptor, self._look)

    def _leave_file(self) -> None:
        if self._watch.descriptor is not None:
            self._loop.remove_reader(self._watch.descriptor)
        self._store.work.rest(self._watch)

    async def _stop(self) -> None:
        if not self._timer.cancelled():
            self._timer.cancel()
            self._leave_file()

    def _look(self) -> None:
        self._timer.cancel()
        nap = until_tick(self._net)
        try:
            self._watch.drain()
            if not self._store.is_current():
                self._move()
            if not self._read():
                nap = _BUSY_NAP
            self._in_trouble = False
        except (OperationalError, ImproperlyConfigured) as exc:
            self._miss(exc)
        self._timer = self._loop.call_later(nap, self._look)

    def _move(self) -> None:
        """Go over to the file that is in the place of the old one; all of it is new."""
        store = self._reopen()
        self._leave_file()
        self._watch_file(store)
        self._number = 0
        self.subscription.miss()

    def _miss(self, exc: Exception) -> None:
        if not self._in_trouble:
            logger.warning("nothing can be heard at the moment: %s; trying again every %s s", exc, self._net)
            self.subscription.miss()
        self._in_trouble = True

    def _read(self) -> bool:
        """Read what is new; False if another thread works with the connection."""
        found = self._store.read_at_once(RANGE)
        if found is None:
            return False
        first, last = _numbers(found)
        if last <= self._number:
            return True
        rows = self._store.read_at_once(self._since.text, (self._number, last, *self._since.values))
        if rows is None:
            return False
        self.subscription.dropped += max(0, first - self._number - 1)
        self._number = last
        self.subscription.put(read_rows(rows))
        return True


def _range_of(store: Store) -> tuple[int, int]:
    return _numbers(store.read(RANGE))


def _numbers(found: list[tuple[object, ...]]) -> tuple[int, int]:
    (first, last) = found[0]
    return int(str(first)), int(str(last))
