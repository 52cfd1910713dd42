"""Time as a value that can be passed in, so that tests move it and code never asks twice."""

from __future__ import annotations

import os
import time
from typing import Final, Protocol


class Clock(Protocol):
    """Tell the time in two ways that must not be mixed.

    `now` is a unix instant, for what is written down (`*_at` in messages and results). `monotonic` never jumps,
    for durations and deadlines inside one process.
    """

    def now(self) -> float:
        """Return seconds since 1970 in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed instant of this process's machine."""
        ...


class SystemClock:
    """Read the machine's clocks."""

    __slots__ = ()

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM_CLOCK = SystemClock()

_PHASE_MS: Final = int.from_bytes(os.urandom(2), "big")
"""Another one in each process, lest all of a machine wake at once."""


def until_tick(every: float, now: float | None = None) -> float:
    """Return the seconds until the next instant at which this process does what it does every so many seconds.

    Loops that look at something now and then sleep for as long as this says, so that an idle process wakes once for
    all of them: most of what a wake-up costs is code and memory gone cold (0.4 ms of CPU). In whole milliseconds, as
    timers of event loops count them.

    Args:
        every: seconds from one tick to the next. Those of 0.5, 1 and 2 s fall together.
        now: monotonic instant; None: now.

    Returns:
        Not less than a tenth of `every`, and not more than that above it: a timer that is early does nothing twice.
    """
    period = max(1, round(every * 1000))
    passed = (int((time.monotonic() if now is None else now) * 1000) + _PHASE_MS) % period
    left = period - passed
    return (left if left * 10 >= period else left + period) / 1000
