"""Decide how many bodies a node runs at once when it may choose (`--autoscale`). Pure: looks in, a number out.

It grows as soon as all bodies are busy and more waits, by as many as wait. It shrinks to what was needed at most in the
last `keepalive` seconds: whoever has had nothing to do for that long goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite
from typing import Final

import msgspec

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.options import BODIES_MAX

KEEPALIVE: Final = 30.0
"""Seconds for which a body that nobody needs is kept, where the environment says nothing else."""

KEEPALIVE_VARIABLE: Final = "AUTOSCALE_KEEPALIVE"
"""Celery's name for the variable that says it."""


class Bounds(msgspec.Struct, frozen=True):
    """Say between which numbers of bodies a node chooses.

    Attributes:
        most: it never runs more at once.
        least: it never has fewer; 0 is as good as 1, for somebody must take what comes next.
    """

    most: int
    least: int

    def within(self, bodies: int) -> int:
        """Return the number of bodies that is nearest to one, and allowed."""
        return min(self.most, max(bodies, self.least, 1))


def bounds_of(most: object, least: object) -> Bounds:
    """Make bounds of two numbers.

    Raises:
        ValueError: they cannot be bounds.
    """
    for name, value in (("max", most), ("min", least)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, got {value!r:.50}")
    assert isinstance(most, int)
    assert isinstance(least, int)
    if not 1 <= most <= BODIES_MAX:
        raise ValueError(f"max must be from 1 to {BODIES_MAX:,}, got {most}")
    if not 0 <= least <= most:
        raise ValueError(f"min must be from 0 to max, which is {most}, got {least}")
    return Bounds(most, least)


def keepalive_in(environ: Mapping[str, str]) -> float:
    """Return the seconds for which a body that nobody needs is kept.

    Raises:
        ImproperlyConfigured: what the environment says is no number above 0.
    """
    said = environ.get(KEEPALIVE_VARIABLE) or str(KEEPALIVE)
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not (isfinite(seconds) and seconds > 0):
        raise ImproperlyConfigured(f"{KEEPALIVE_VARIABLE} must be seconds above 0, got {said!r:.50}")
    return seconds


class Needs:
    """Remember how many bodies were needed at most in the last seconds.

    Args:
        seconds: for how long something is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Each is larger than all that came after it, so the first is the largest.
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, needed: int, now: float) -> None:
        """Learn how many are needed at a monotonic instant."""
        while self._seen and self._seen[-1][1] <= needed:
            self._seen.pop()
        self._seen.append((now, needed))

    def most(self, now: float) -> int:
        """Return how many were needed at most in the last seconds."""
        while self._seen and self._seen[0][0] <= now - self._seconds:
            self._seen.popleft()
        return self._seen[0][1] if self._seen else 0


def bodies_for(bounds: Bounds, *, bodies: int, needed: int, needed_lately: int) -> int:
    """Return how many bodies a node is to have.

    Args:
        bodies: what it has, those that are coming up included.
        needed: what would be busy now, were there enough: messages that run or wait.
        needed_lately: the most of that within the time for which idle bodies are kept.
    """
    if needed > bodies:
        return max(bodies, bounds.within(needed))
    return min(bodies, bounds.within(max(needed, needed_lately)))
