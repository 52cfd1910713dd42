from __future__ import annotations

import pytest

from celeriac.testing.brokers import BrokerConformance
from tests.unit.brokers.sqlite_world import SqliteWorld


class TestSqliteBroker(BrokerConformance):
    @pytest.fixture
    def world(self, tmp_path):
        world = SqliteWorld(tmp_path)
        yield world
        world.end()
