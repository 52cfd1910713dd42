"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from collections.abc import Callable

START_AT = 1_700_000_000.0
"""Unix instant at which a `ManualClock` starts unless told otherwise."""


class ManualClock:
    """Be a `celeriac.clock.Clock` that tests move. Safe to move while other threads read it.

    Attributes:
        told: called whenever it was moved.
    """

    def __init__(self, now: float = START_AT, monotonic: float = 1_000.0) -> None:
        self._lock = threading.Lock()
        self._now = now
        self._monotonic = monotonic
        self.told: list[Callable[[], None]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, by both ways of telling it."""
        if seconds < 0:
            raise ValueError(f"time does not run backwards: advance({seconds}); use jump() to set the wall clock")
        with self._lock:
            self._now += seconds
            self._monotonic += seconds
        self._tell()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or backwards, as people and NTP do; no time passes."""
        with self._lock:
            self._now += seconds
        self._tell()

    def _tell(self) -> None:
        for tell in list(self.told):
            tell()
