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

    @pytest.mark.xfail(strict=True, reason="close() takes the file away from this process's open consumers too")
    def test_a_broker_may_be_closed_twice_and_used_again(self, broker, node):
        super().test_a_broker_may_be_closed_twice_and_used_again(broker, node)

    @pytest.mark.xfail(strict=True, reason="an accepted settlement equal to a refused one loses its result")
    def test_a_delivery_that_is_named_twice_is_settled_once(self, world, broker, node):
        super().test_a_delivery_that_is_named_twice_is_settled_once(world, broker, node)

    @pytest.mark.xfail(strict=True, reason="row ids, and so tags, are used again after the newest row was deleted")
    def test_a_delivery_from_before_cannot_settle_another_message(self, broker, node):
        super().test_a_delivery_from_before_cannot_settle_another_message(broker, node)

    @pytest.mark.xfail(strict=True, reason="redelivered is derived from the counters, which a mere claim leaves at 0")
    def test_what_a_dead_node_held_comes_back(self, world, broker, node):
        super().test_what_a_dead_node_held_comes_back(world, broker, node)
