"""What a worker does on RabbitMQ beyond what the suites ask of every broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from celeriac.brokers.amqp.consumer import AmqpConsumer
from celeriac.brokers.base import Claim, Settlement
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import Node, a_message
from tests.unit.brokers.amqp_world import AmqpWorld

STAYS_AWAY = 0.5


@pytest.fixture(params=["classic", "quorum"])
def world(amqp_url, request):
    world = AmqpWorld(amqp_url, queue_type=request.param)
    yield world
    world.end()


def insides(node: Node) -> AmqpConsumer:
    assert isinstance(node.consumer, AmqpConsumer)
    return node.consumer


def test_what_uses_a_lost_connection_at_once_connects_once(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=2.0)
    consumer = insides(node)
    before = consumer.owner

    async def all_at_once() -> Sequence[object]:
        await consumer._channel.close()
        return await asyncio.gather(consumer.extend(), consumer.claim(["q"], limit=1, wait=0.2), consumer.extend())

    _, claim, _ = node.do(all_at_once())

    assert isinstance(claim, Claim)
    assert consumer.owner == before + 1
    assert claim.deliveries == [], "it was adopted"
    assert node.finish(delivery) == []
    assert world.node(name="w2@host").claim(wait=STAYS_AWAY) == []


def test_an_ending_waits_for_no_connection(world):
    publish(world.broker(), a_message("under way"))
    node = world.node()
    [delivery] = node.claim(wait=2.0)

    async def ends_without_connection() -> None:
        await insides(node)._channel.close()
        async with insides(node)._connecting:  # nobody can connect meanwhile
            await node.consumer.settle([Settlement(delivery=delivery)], None)

    node.do(ends_without_connection())

    assert node.claim(wait=STAYS_AWAY) == []
    assert world.node(name="w2@host").claim(wait=STAYS_AWAY) == [], "it was acknowledged when it came again"
