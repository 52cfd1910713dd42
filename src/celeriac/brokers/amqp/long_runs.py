"""When a run is long, and when the copy that stands for its message is due. Pure.

RabbitMQ takes all messages of a channel back when one of them is not acknowledged in time (`consumer_timeout`). A node
knows from tags alone how long it has had something: every now and then it notes which tag was the highest.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from celeriac.brokers.amqp.held import Held, Holdings
from celeriac.brokers.amqp.topology import HOLD_TTL

_AGAIN_EVERY: Final = 7.0
"""Seconds between two copies: one may get lost, and the next is there before what lies in the queue goes back."""

_LARGE_BYTES: Final = 256 * 1024
_SHARE: Final = 3
_NOTES: Final = 64
_BATCH_MAX: Final = 500
_BATCH_BYTES: Final = 16 * 1024 * 1024

_TOLD: Final = re.compile(r"timed out.*?(\d+) ms", re.DOTALL)


class _Copied(msgspec.Struct, gc=False):
    """Know the copy of one run.

    Attributes:
        at: monotonic instant of the last one.
        is_awaited: it was published, and has not come.
        is_impossible: there cannot be one.
    """

    at: float
    is_awaited: bool
    is_impossible: bool = False


class LongRuns:
    """Know which of the messages that are held need a copy now.

    Args:
        timeout: seconds after which the server takes back what is not acknowledged; inf: never.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._notes: deque[tuple[float, int]] = deque()
        self._old = 0
        self._copied: dict[int, _Copied] = {}

    def note(self, tag: int, now: float) -> None:
        """Note the highest tag that has come by now, a monotonic instant."""
        if not self._notes or (self._notes[-1][1] < tag and now - self._notes[-1][0] >= self._first_after / _NOTES):
            self._notes.append((now, tag))

    def old(self, now: float) -> int:
        """Return the highest tag that has been here for a third of the time that the server gives."""
        while self._notes and now - self._notes[0][0] >= self._first_after:
            self._old = self._notes.popleft()[1]
        return self._old

    def due(self, holdings: Holdings, now: float, *, waiting: frozenset[int] = frozenset()) -> list[Held]:
        """Return what needs a copy now.

        Args:
            waiting: tags of what nobody has claimed yet.
        """
        due = []
        for held in holdings.upto(self.old(now)):
            tag = held.delivery.tag
            if held.place is None or held.delivery.fault is not None or tag in waiting:
                continue
            copied = self._copied.get(tag)
            if copied is None or (not copied.is_awaited and self._is_stale(held, copied, now)):
                due.append(held)
        for tag in [tag for tag, copied in self._copied.items() if tag not in holdings and not copied.is_awaited]:
            del self._copied[tag]
        return due

    def _is_stale(self, held: Held, copied: _Copied, now: float) -> bool:
        if copied.is_impossible:
            return False
        if held.place is not None and not held.place.is_copy:
            return True  # the copy has come back by way of the queue
        large = held.delivery.message.size_bytes > _LARGE_BYTES
        return now - copied.at >= (self._first_after if large else min(_AGAIN_EVERY, self._first_after))

    @property
    def _first_after(self) -> float:
        return self.timeout / _SHARE

    def note_published(self, tags: Iterable[int], now: float) -> None:
        """Know that copies are on their way."""
        for tag in tags:
            self._copied[tag] = _Copied(now, is_awaited=True)

    def note_failed(self, tags: Iterable[int]) -> None:
        """Know that copies may not be on their way: they are due again."""
        for tag in tags:
            self._copied.pop(tag, None)

    def note_impossible(self, tag: int) -> None:
        """Know that no copy can be made, and that none is to be tried again."""
        self._copied[tag] = _Copied(0.0, is_awaited=False, is_impossible=True)

    def note_come(self, tag: int) -> None:
        """Know that a copy is here."""
        copied = self._copied.get(tag)
        if copied is not None:
            copied.is_awaited = False

    def lose_channel(self) -> None:
        """Know that nothing is on its way here any more."""
        for copied in self._copied.values():
            copied.is_awaited = False

    @property
    def awaited(self) -> int:
        """Number of copies that were published and have not come."""
        return sum(copied.is_awaited for copied in self._copied.values())

    def overdue(self, now: float) -> int:
        """Return how many copies should have come long since."""
        return sum(copied.is_awaited and now - copied.at > HOLD_TTL for copied in self._copied.values())

    def any_left(self, holdings: Holdings) -> bool:
        """Say whether something is held that has been copied."""
        return any(tag in holdings and not copied.is_impossible for tag, copied in self._copied.items())

    def clear(self) -> None:
        """Know of nothing."""
        self._notes.clear()
        self._copied.clear()
        self._old = 0


def batches(due: Sequence[Held]) -> Iterator[list[Held]]:
    """Divide what needs copies into parts that are neither too many nor too heavy to be published at once."""
    batch: list[Held] = []
    room_bytes = _BATCH_BYTES
    for held in due:
        room_bytes -= held.delivery.message.size_bytes
        if batch and (room_bytes < 0 or len(batch) >= _BATCH_MAX):
            yield batch
            batch, room_bytes = [], _BATCH_BYTES - held.delivery.message.size_bytes
        batch.append(held)
    if batch:
        yield batch


def timeout_told(reason: str) -> float | None:
    """Return the seconds that a server names when it takes back what was not acknowledged; None: it says other things.

    RabbitMQ: "delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms. …".
    """
    found = _TOLD.search(reason)
    return int(found[1]) / 1000 if found else None
