from __future__ import annotations

from pathlib import Path
from typing import Unpack

from celeriac.backends.sqlite import SqliteBackend
from celeriac.brokers.base import Consumer
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.brokers.sqlite.consumer import SqliteConsumer
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import BrokerWorld, Limits


class SqliteWorld(BrokerWorld):
    """One file, and a clock for everybody who uses it; a killed node loses the lock that shows that it lives."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "celeriac.sqlite3"
        self.clock = ManualClock()

    def make_broker(self, **limits: Unpack[Limits]) -> SqliteBroker:
        return SqliteBroker(self.path, clock=self.clock, **limits)

    def results(self) -> SqliteBackend:
        return SqliteBackend(self.path, clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def lose(self, consumer: Consumer) -> None:
        assert isinstance(consumer, SqliteConsumer)
        consumer.abandon()
