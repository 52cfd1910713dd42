from __future__ import annotations

import pytest

from celeriac.testing.brokers import BrokerConformance
from tests.unit.brokers.memory_world import MemoryWorld


@pytest.fixture
def world():
    world = MemoryWorld()
    yield world
    world.end()


class TestMemoryBroker(BrokerConformance):
    @pytest.fixture
    def world(self, world):
        return world
