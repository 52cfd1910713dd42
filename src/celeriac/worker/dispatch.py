"""Choose the slot for a message. Pure: slots and estimates in, a slot out.

A slot that has nothing to do always comes first. A window, that is, packets waiting in a slot behind the one that
runs, exists only to spare short tasks the way to the supervisor and back; nothing may wait long in one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

WINDOW_SECONDS: Final = 0.005
"""Longest expected wait of a message in a slot's window."""

WINDOW_MAX: Final = 96
"""Most messages in one slot: what the socket's buffer surely takes."""

PREFETCH_SECONDS: Final = 0.05
"""A node claims as much as it finishes in this time."""

PREFETCH_MAX: Final = 1024
"""Most messages that a slot's share of the prefetch comes to."""

LATE_AFTER: Final = 0.01
"""A slot whose current run takes longer than this gives its window back."""

OVERHEAD_SECONDS: Final = 0.00002
"""What a run costs beside its body."""

_NAMES_MAX: Final = 10_000
_WEIGHT: Final = 0.2


class Slot(msgspec.Struct, eq=False):
    """See one slot as strategies see it.

    Attributes:
        number: names the slot in its node.
        waits: expected seconds of each message that was sent and not answered; the first one runs.
        expected: their sum.
        since: monotonic instant at which the first of them began.
    """

    number: int
    waits: deque[float]
    expected: float = 0.0
    since: float = 0.0

    def is_late(self, now: float) -> bool:
        """Say whether the current run takes so long that nothing should wait behind it."""
        return bool(self.waits) and now - self.since > LATE_AFTER


class Strategy(Protocol):
    """Decide which slot runs a message, and how many messages a node holds."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        """Pick a slot for a message whose run is expected to take so many seconds (`inf`: unknown); None: not now."""
        ...

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        """Say how many unsettled messages the node may hold; `mean` is the seconds that its runs take."""
        ...


class Fair:
    """Give each slot one message at a time (`-O fair`)."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        return next((slot for slot in slots if not slot.waits), None)

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)


class Adaptive:
    """Give each free slot one message, and slots that run short tasks a window of further short ones."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        best: Slot | None = None
        for slot in slots:
            if not slot.waits:
                return slot
            if best is None or slot.expected < best.expected:
                best = slot
        if best is None or expected > WINDOW_SECONDS or best.expected > WINDOW_SECONDS:
            return None
        return best if len(best.waits) < WINDOW_MAX and not best.is_late(now) else None

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)


def prefetch_by_time(slots: Sequence[Slot], mean: float, now: float) -> int:
    """Hold what the node finishes in `PREFETCH_SECONDS`, and at least one message for each slot.

    Slots whose current run has turned out long do not count: what is claimed for them could run elsewhere.
    """
    quick = sum(1 for slot in slots if not slot.is_late(now))
    return len(slots) + quick * min(int(PREFETCH_SECONDS / mean), PREFETCH_MAX)


STRATEGIES: Final[dict[str, type[Strategy]]] = {"adaptive": Adaptive, "default": Adaptive, "fair": Fair}


class Durations:
    """Estimate how long a task runs from how long it ran before."""

    def __init__(self) -> None:
        self._by_name: dict[str, float] = {}
        self.mean = float("inf")
        """Seconds that a run of this node takes, whatever its task."""

    def expected(self, name: str) -> float:
        """Return the seconds that a run of the task will take; `inf` when it has never run here."""
        return self._by_name.get(name, float("inf"))

    def note(self, name: str, seconds: float) -> None:
        """Learn from one run. Old runs fade; a sudden long one counts at once."""
        seconds += OVERHEAD_SECONDS
        self.mean = _blend(self.mean, seconds)
        if name in self._by_name or len(self._by_name) < _NAMES_MAX:
            self._by_name[name] = _blend(self.expected(name), seconds)


def _blend(old: float, new: float) -> float:
    return new if old == float("inf") else old + _WEIGHT * (new - old)
