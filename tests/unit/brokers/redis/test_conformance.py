from __future__ import annotations

import pytest

from celeriac.testing.brokers import BrokerConformance
from tests.unit.brokers.redis_world import RedisWorld


@pytest.mark.parametrize("options", [{}, {"protocol": 3}, {"global_keyprefix": "app:", "results_in": 1}], ids=str)
class TestRedisBroker(BrokerConformance):
    @pytest.fixture
    def world(self, redis_db, options):
        world = RedisWorld(redis_db, **options)
        yield world
        world.end()
