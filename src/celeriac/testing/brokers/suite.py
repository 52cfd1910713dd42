"""What the suites of brokers have in common."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from celeriac.brokers.base import Broker, Conflict, Delivery, Settlement
from celeriac.message import Message
from celeriac.testing.worlds import ANSWER_WITHIN, BrokerWorld, Node, a_result

MIB = 1024 * 1024


def publish(broker: Broker, *messages: Message) -> Sequence[Conflict]:
    """Publish with a deadline that no working broker misses."""
    return broker.publish(messages, deadline_at=time.monotonic() + ANSWER_WITHIN)


def clean(broker: Broker) -> int:
    """Clean until nothing is left to do, and say how much that was."""
    total = 0
    while cleaned := broker.clean():
        total += cleaned
    return total


def end_of(delivery: Delivery, *publish: Message) -> Settlement:
    """Settle a delivery as a success whose record names its message."""
    message = delivery.message
    return Settlement(delivery=delivery, result=a_result(message.task_id, record=message.body), publish=publish)


class WorldSuite:
    """Give the suites below their fixtures; an adapter's test class overrides `world`."""

    @pytest.fixture
    def world(self) -> BrokerWorld:
        raise NotImplementedError(f"{type(self).__name__} must have a fixture `world` that returns a BrokerWorld")

    @pytest.fixture
    def broker(self, world: BrokerWorld) -> Broker:
        return world.broker()

    @pytest.fixture
    def node(self, world: BrokerWorld, broker: Broker) -> Node:
        return world.node(broker)
