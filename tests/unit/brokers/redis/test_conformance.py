from __future__ import annotations

import pytest

from celeriac.testing.brokers.leases import LeasesAndFences
from celeriac.testing.brokers.opening import BrokersThemselves
from celeriac.testing.brokers.publishing import PublishAndClaim
from celeriac.testing.brokers.queues import QueuesAndDeadLetters
from celeriac.testing.brokers.settling import SettleAndRelease
from tests.unit.brokers.redis_world import RedisWorld


@pytest.mark.parametrize("options", [{}, {"protocol": 3}, {"global_keyprefix": "app:", "results_in": 1}], ids=str)
class TestRedisBroker(PublishAndClaim, LeasesAndFences, SettleAndRelease, QueuesAndDeadLetters, BrokersThemselves):
    @pytest.fixture
    def world(self, redis_db, options):
        world = RedisWorld(redis_db, **options)
        yield world
        world.end()
