"""Opening and closing."""

from __future__ import annotations

import time

import pytest

from celeriac.brokers.base import Broker, Incarnation, QueueDepth
from celeriac.exceptions import BrokerUnavailable, LeaseLost
from celeriac.testing.brokers.suite import WorldSuite, publish
from celeriac.testing.worlds import (
    ANSWER_WITHIN,
    BrokerWorld,
    Node,
    a_message,
    task_ids,
)


class BrokersThemselves(WorldSuite):
    """Check opening and closing."""

    def test_a_broker_may_be_closed_twice_and_used_again(self, broker: Broker, node: Node) -> None:
        broker.open(deadline_at=time.monotonic() + ANSWER_WITHIN)
        broker.close()
        broker.close()

        publish(broker, a_message())

        assert task_ids(node.claim()) == ["id-1"]

    def test_what_one_broker_publishes_another_one_sees(self, world: BrokerWorld, broker: Broker) -> None:
        other = world.broker()

        publish(broker, a_message())

        assert other.depths() == [QueueDepth(queue="q", ready=1)]
        assert other.url == broker.url

    def test_a_consumer_that_was_never_opened_owns_nothing(self, world: BrokerWorld, broker: Broker) -> None:
        publish(broker, a_message())
        node = Node(broker.consumer(Incarnation.begin("w1@host")))

        try:
            with pytest.raises((LeaseLost, BrokerUnavailable)):
                node.claim()
            node.close()
        finally:
            node.stop()
        assert broker.depths() == [QueueDepth(queue="q", ready=1)]
