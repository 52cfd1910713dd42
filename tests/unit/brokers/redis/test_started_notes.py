from __future__ import annotations

from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import a_message
from tests.unit.brokers.redis.looks import (
    KEYS,
    note,
    wait_until,
)


def test_what_goes_on_for_a_while_is_noted_without_another_call(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()

    node.do(note(node.consumer, delivery))

    wait_until(lambda: client.smembers(KEYS.started(node.consumer.owner)) == {b"%d" % delivery.tag})


def test_what_was_foretold_is_known_before_it_begins(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()

    node.do(node.consumer.foretell(delivery))

    assert client.smembers(KEYS.started(node.consumer.owner)) == {b"%d" % delivery.tag}


def test_what_ends_soon_is_not_noted(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()

    node.consumer.note_started(delivery)
    node.consumer.note_ended(delivery)
    node.extend()

    assert not client.exists(KEYS.started(node.consumer.owner))


def test_what_was_noted_and_ended_is_taken_back(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()
    node.consumer.note_started(delivery)
    node.extend()
    assert client.scard(KEYS.started(node.consumer.owner)) == 1

    node.finish(delivery)
    node.consumer.note_ended(delivery)
    node.extend()

    assert not client.exists(KEYS.started(node.consumer.owner))
