from __future__ import annotations

import pytest

from celeriac.backends.sqlite import SqliteBackend
from celeriac.testing.backends import ResultBackendConformance, ResultWorld
from celeriac.testing.clock import ManualClock


class SqliteResults(ResultWorld):
    def __init__(self, folder):
        self.path = folder / "results.sqlite3"
        self.clock = ManualClock()

    def backend(self, *, expires=3600.0, failure_expires=None):
        return SqliteBackend(self.path, expires=expires, failure_expires=failure_expires, clock=self.clock)

    def advance(self, seconds):
        self.clock.advance(seconds)


class TestSqliteBackend(ResultBackendConformance):
    @pytest.fixture
    def world(self, tmp_path):
        return SqliteResults(tmp_path)
