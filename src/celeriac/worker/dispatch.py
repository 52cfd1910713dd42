"""Choose the child for a message. Pure: what is known of each child and estimates in, a child out.

A child with a free body always comes first. A window, that is, packets waiting in a child behind those that run,
exists only to spare short tasks the way to the supervisor and back; nothing may wait long in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, Protocol

import msgspec

WINDOW_SECONDS: Final = 0.015
"""Longest expected wait of a message in a child's window."""

WINDOW_MAX: Final = 96
"""Most messages in a child of one slot: what the socket's buffer surely takes."""

PREFETCH_SECONDS: Final = 0.05
"""A node claims as much as it finishes in this time."""

PREFETCH_MAX: Final = 1024
"""Most messages that a child's share of the prefetch comes to, beside those that run."""

LATE_AFTER: Final = 0.03
"""A child whose current runs take longer than this gives its window back."""

WORTH_MOVING: Final = 0.001
"""Expected wait in a window, in seconds, from which on a message is moved to a child that has a body free."""

SHORT_SECONDS: Final = 0.001
"""A node whose runs take less than this ends hundreds of them in a second, as long as messages wait."""

OVERHEAD_SECONDS: Final = 0.00002
"""What a run costs beside its body."""

_NAMES_MAX: Final = 10_000
_WEIGHT: Final = 0.2


class Slot(msgspec.Struct, eq=False):
    """See one child as strategies see it.

    Attributes:
        number: names the child in its node.
        capacity: bodies that it runs at once.
        load: messages that were sent to it and not answered; the first `capacity` of them run.
        long: how many of these take longer than `WINDOW_SECONDS`, or nobody knows how long.
        expected: seconds that the others take, one after the other.
        since: monotonic instant at which a run last began or ended in it.
        place: what it is in the node, from 0; a child that replaces another one has its place, and a new number.
    """

    number: int
    capacity: int = 1
    load: int = 0
    long: int = 0
    expected: float = 0.0
    since: float = 0.0
    place: int = 0

    @property
    def is_full(self) -> bool:
        """Say whether a further message would have to wait."""
        return self.load >= self.capacity

    @property
    def wait(self) -> float:
        """Expected seconds until a further message would begin, where it is full."""
        open_to_short = self.capacity - self.long
        return self.expected / open_to_short if open_to_short > 0 else inf

    def is_late(self, now: float) -> bool:
        """Say whether the current runs take so long that nothing should wait behind them."""
        return self.load >= self.capacity and now - self.since > LATE_AFTER

    def note_sent(self, expected: float, now: float) -> None:
        """Count a message whose run is expected to take so many seconds."""
        if self.load < self.capacity:
            self.since = now
        self.load += 1
        if expected > WINDOW_SECONDS:
            self.long += 1
        else:
            self.expected += expected

    def note_gone(self, expected: float) -> None:
        """Count one less: it was answered, or taken back."""
        self.load -= 1
        if expected > WINDOW_SECONDS:
            self.long -= 1
        else:
            # Sums of floats drift: an empty one is 0 again.
            self.expected = self.expected - expected if self.load else 0.0


class Strategy(Protocol):
    """Decide which slot runs a message, and how many messages a node holds."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        """Pick a slot for a message whose run is expected to take so many seconds (`inf`: unknown); None: not now."""
        ...

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        """Say how many unsettled messages the node may hold; `mean` is the seconds that its runs take."""
        ...


class Fair:
    """Give each free body one message at a time (`-O fair`)."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        return most_free(slots)

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)


class Adaptive:
    """Give each free body one message, and children that run short tasks a window of further short ones."""

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        free: Slot | None = None
        best: Slot | None = None
        least = inf
        for slot in slots:
            load = slot.load
            if not load:
                return slot
            if load < slot.capacity:
                if free is None or load * free.capacity < free.load * slot.capacity:
                    free = slot
            elif slot.long < slot.capacity:
                # As `slot.wait`, which cost 0.2 us more per message.
                wait = slot.expected / (slot.capacity - slot.long)
                if wait < least:
                    best, least = slot, wait
        if free is not None:
            return free
        if best is None or expected > WINDOW_SECONDS or least > WINDOW_SECONDS:
            return None
        return best if best.load < WINDOW_MAX + best.capacity - 1 and now - best.since <= LATE_AFTER else None

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)


def most_free(slots: Iterable[Slot]) -> Slot | None:
    """Pick the child that has the least to do for its capacity; None when all are full."""
    free: Slot | None = None
    for slot in slots:
        if not slot.load:
            return slot
        if slot.load < slot.capacity and (free is None or slot.load * free.capacity < free.load * slot.capacity):
            free = slot
    return free


def worth_relieving(slots: Iterable[Slot]) -> Slot | None:
    """Pick the child in whose window messages wait longest while another one has a body free; None: nobody gains."""
    longest: Slot | None = None
    is_free = False
    for slot in slots:
        if slot.load < slot.capacity:
            is_free = True
        elif slot.load > slot.capacity and (longest is None or slot.wait > longest.wait):
            longest = slot
    return longest if is_free and longest is not None and longest.wait > WORTH_MOVING else None


def prefetch_by_time(slots: Sequence[Slot], mean: float, now: float) -> int:
    """Hold what the node finishes in `PREFETCH_SECONDS`, and at least one message for each body.

    Children whose current runs have turned out long do not count: what is claimed for them could run elsewhere.
    """
    bodies = sum(slot.capacity for slot in slots)
    ahead = PREFETCH_SECONDS / mean
    return bodies + sum(min(int(ahead * slot.capacity), PREFETCH_MAX) for slot in slots if not slot.is_late(now))


class _Ran(msgspec.Struct, eq=False):
    seconds: float
    times: int = 1


class Durations:
    """Estimate how long a task runs from how long it ran before."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Ran] = {}
        self.mean = inf
        """Seconds that a run of this node takes, whatever its task."""

    def expected(self, name: str) -> float:
        """Return the seconds that a run of the task will take; `inf` when it has never run here."""
        ran = self._by_name.get(name)
        return inf if ran is None else ran.seconds

    def totals(self) -> dict[str, int]:
        """Return how many runs of each task have ended."""
        return {name: ran.times for name, ran in self._by_name.items()}

    def note(self, name: str, seconds: float) -> None:
        """Learn from one run. Old runs fade; a sudden long one counts at once."""
        seconds += OVERHEAD_SECONDS
        self.mean = _blend(self.mean, seconds)
        ran = self._by_name.get(name)
        if ran is not None:
            ran.seconds += _WEIGHT * (seconds - ran.seconds)
            ran.times += 1
        elif len(self._by_name) < _NAMES_MAX:
            self._by_name[name] = _Ran(seconds)


def _blend(old: float, new: float) -> float:
    return new if old == inf else old + _WEIGHT * (new - old)
