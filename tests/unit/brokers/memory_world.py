from __future__ import annotations

import itertools
from typing import Unpack

from celeriac.backends.memory import MemoryBackend
from celeriac.brokers.memory import MemoryBroker
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import BrokerWorld, Limits

numbers = itertools.count(1)


class MemoryWorld(BrokerWorld):
    """One memory store under a name of its own, and a clock for everybody in it."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"world-{next(numbers)}"
        self.clock = ManualClock()

    def make_broker(self, **limits: Unpack[Limits]) -> MemoryBroker:
        return MemoryBroker(self.name, clock=self.clock, **limits)

    def results(self) -> MemoryBackend:
        return MemoryBackend(self.make_broker())

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
