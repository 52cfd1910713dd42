from __future__ import annotations

import time

import msgspec

from celeriac.brokers.base import QueueDepth
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import a_message, task_ids
from celeriac.wire.envelope import write_envelope
from tests.unit.brokers.redis.looks import (
    KEYS,
    iso,
)


def test_a_future_message_lies_in_its_list_while_no_node_lives(world, client):
    """A6: Celery's workers find it there."""
    publish(world.broker(), a_message(eta_at=time.time() + 60))

    assert client.llen("q") == 1
    assert not client.exists(KEYS.delayed)


def test_a_future_message_lies_in_its_list_when_the_last_node_has_died(world, client):
    world.kill(world.node())
    world.advance(61.0)

    publish(world.broker(), a_message(eta_at=time.time() + 600))

    assert client.llen("q") == 1


def test_an_early_message_in_a_list_is_kept_until_its_time(world, client):
    due_at = time.time() + 60
    headers = msgspec.json.encode({"task": "t", "id": "early", "eta": iso(due_at)})
    early = msgspec.structs.replace(a_message("early"), headers=headers)
    client.lpush("q", write_envelope(early, delivery_tag="one"), write_envelope(a_message("now"), delivery_tag="two"))
    node = world.node()

    assert task_ids(node.claim()) == ["now"]

    assert client.zcard(KEYS.delayed) == 1
    assert world.broker().depths() == [QueueDepth(queue="q", claimed=1, delayed=1)]
    world.advance(61.0)
    [delivery] = node.claim()
    assert delivery.message.task_id == "early"
    assert (delivery.redelivered, client.exists(KEYS.counts)) == (False, 0), "it was in nobody's hands"


def test_mixed_with_others_an_early_message_holds_up_none(world, client):
    due_at = time.time() + 60
    early = msgspec.json.encode({"task": "t", "id": "early", "eta": iso(due_at)})
    for number in range(300):
        message = a_message(f"id-{number}")
        if number % 2:
            message = msgspec.structs.replace(message, headers=early)
        client.lpush("q", write_envelope(message, delivery_tag=f"tag-{number}"))
    node = world.node()

    assert len(node.claim(limit=300)) == 150

    assert client.zcard(KEYS.delayed) == 150
    assert client.hget(KEYS.delayed_counts, "q") == b"150"
    world.advance(61.0)
    assert len(node.claim(limit=300)) == 150
    assert not client.exists(KEYS.delayed_counts)


def test_only_early_messages_do_not_keep_a_waiting_claim_from_waiting(world, client):
    headers = msgspec.json.encode({"task": "t", "id": "early", "eta": iso(time.time() + 60)})
    client.lpush("q", write_envelope(msgspec.structs.replace(a_message("early"), headers=headers), delivery_tag="x"))
    node = world.node()

    assert node.claim(wait=0.2) == []

    assert client.zcard(KEYS.delayed) == 1


def test_two_messages_of_one_id_may_both_be_delayed(world, client):
    """A18"""
    node = world.node()
    due_at = node.look().now + 10
    publish(world.broker(), a_message("same", eta_at=due_at), a_message("same", eta_at=due_at))

    assert client.zcard(KEYS.delayed) == 2

    world.advance(11.0)
    assert task_ids(node.claim()) == ["same", "same"]


def test_what_was_due_first_is_served_first_and_before_what_waits(world):
    node = world.node()
    now = node.look().now
    later = [a_message(f"due-{number}", eta_at=now + 20 - number) for number in range(5)]
    publish(world.broker(), *later, a_message("waits"))
    world.advance(30.0)

    assert task_ids(node.claim()) == [f"due-{number}" for number in (4, 3, 2, 1, 0)] + ["waits"]


def test_thousands_that_are_due_at_once_are_promoted_in_shares(world, client):
    node = world.node()
    now = node.look().now
    publish(world.broker(), *(a_message(f"id-{number}", eta_at=now + 5) for number in range(1700)))
    world.advance(6.0)

    claimed = node.claim(limit=100)
    assert client.zcard(KEYS.delayed) == 1200
    while more := node.claim(limit=1000):
        claimed += more

    assert len(claimed) == 1700
    assert not client.exists(KEYS.delayed, KEYS.delayed_counts)


def test_a_node_that_claims_from_another_queue_promotes_for_all(world, client):
    node = world.node()
    publish(world.broker(), a_message(queue="elsewhere", eta_at=node.look().now + 5))
    world.advance(6.0)

    node.extend()

    assert client.llen("elsewhere") == 1


def test_an_eta_without_offset_is_left_to_the_node(world, client):
    """Its zone is a matter of the app's: by UTC it would come an hour too late in Berlin."""
    headers = msgspec.json.encode({"task": "t", "id": "i", "eta": "2100-01-01T00:00:00"})
    client.lpush("q", write_envelope(msgspec.structs.replace(a_message("i"), headers=headers), delivery_tag="x"))

    [delivery] = world.node().claim()

    assert delivery.message.eta_at is None
