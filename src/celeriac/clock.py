"""Time as a value that can be passed in, so that tests move it and code never asks twice."""

from __future__ import annotations

import time
from typing import Protocol


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
