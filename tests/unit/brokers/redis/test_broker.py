from __future__ import annotations

import json
import time

import msgspec
import pytest

from celeriac.brokers.redis import broker as module
from celeriac.brokers.redis.keys import Keys
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, task_ids
from tests.servers.proxy import Way

KEYS = Keys()


@pytest.mark.parametrize("many", [1, 3])
def test_a_publish_whose_answer_was_lost_is_repeated_and_stored_once(world, behind, proxy, client, many):
    """A8: the id cannot be looked for, the message may be done by then."""
    broker = behind.broker()
    for _ in range(2):  # so that the server has the scripts
        publish(broker, *(a_message(f"before-{number}") for number in range(many)))
    client.delete("q")
    proxy.cut(Way.DOWN, keep=0.0)

    publish(broker, *(a_message(f"id-{number}") for number in range(many)))

    assert proxy.cut_off == 1
    assert task_ids(world.node().claim()) == [f"id-{number}" for number in range(many)]


def test_each_connection_numbers_its_batches(world, client):
    broker = world.broker()

    for number in range(5):
        publish(broker, a_message(f"id-{number}"))

    [sent] = client.keys("celeriac:sent:*")
    assert client.get(sent) == b"5"
    assert 0 < client.ttl(sent) <= 3600


def test_a_batch_is_stored_in_order_over_several_scripts(world, client, monkeypatch):
    monkeypatch.setattr(module, "BATCH_MAX", 7)
    due_at = time.time() - 1
    messages = [
        a_message(
            f"id-{number}", queue=f"q{number // 5 % 3}", priority=number % 2 * 9, eta_at=due_at if number % 3 else None
        )
        for number in range(100)
    ]

    publish(world.broker(), *messages)

    claimed = world.node().claim("q0", "q1", "q2", limit=1000)
    assert sorted(task_ids(claimed)) == sorted(message.task_id for message in messages)
    for queue in ("q0", "q1", "q2"):
        for priority in (0, 9):
            mine = [one.task_id for one in messages if (one.queue, one.priority) == (queue, priority)]
            found = [one.message for one in claimed if (one.message.queue, one.message.priority) == (queue, priority)]
            assert [one.task_id for one in found] == mine


def test_a_batch_is_split_by_its_bytes_too(world, monkeypatch):
    monkeypatch.setattr(module, "BATCH_MAX_BYTES", 3_000)

    publish(world.broker(), *(a_message(f"id-{number}", body=bytes(1000)) for number in range(10)))

    assert task_ids(world.node().claim()) == [f"id-{number}" for number in range(10)]


def test_a_batch_of_which_a_part_is_stored_says_so(behind, proxy, monkeypatch):
    monkeypatch.setattr(module, "BATCH_MAX", 2)
    broker = behind.broker()
    publish(broker, a_message("before"), a_message("before"))
    proxy.cut(Way.UP, keep=0.0, times=1_000, after=b"id-2")
    first = [a_message("id-0"), a_message("id-1")]

    batches = broker._batches
    monkeypatch.setattr(broker, "_batches", lambda messages: _then_refuse(batches(messages), proxy))
    with pytest.raises(BrokerUnavailable) as raised:
        broker.publish([*first, a_message("id-2")], deadline_at=time.monotonic() + 0.5)

    assert raised.value.maybe_published


def test_where_one_list_is_taken_nothing_of_the_batch_is_stored(world, client):
    client.set("taken", "of another program")

    with pytest.raises(OperationalError, match=r"WRONGTYPE.*taken"):
        publish(world.broker(), a_message("a"), a_message("b", queue="taken"))

    assert not client.exists("q")
    publish(world.broker(), a_message("c"))
    assert client.llen("q") == 1


def test_a_single_message_for_a_list_that_is_taken_is_refused(world, client):
    broker = world.broker()
    publish(broker, a_message())
    client.delete("q")
    client.set("q", "of another program")

    with pytest.raises(OperationalError, match="WRONGTYPE"):
        publish(broker, a_message())


def test_what_lies_in_a_list_is_what_kombu_would_have_written(world, client):
    publish(world.broker(), a_message("id-1", priority=4, body=b"[[1], {}, {}]"))

    [raw] = client.lrange(KEYS.list_of("q", 4), 0, -1)

    envelope = json.loads(raw)
    tag = envelope["properties"].pop("delivery_tag")
    assert len(tag) == 36
    assert list(envelope) == ["body", "content-encoding", "content-type", "headers", "properties"]
    assert envelope["properties"] == {
        "correlation_id": "id-1",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "q"},
        "priority": 4,
        "body_encoding": "base64",
    }


def test_queues_of_celery_are_counted_too(world, client):
    client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    client.sadd("_kombu.binding.reply.celery.pidbox", b"x\x06\x16\x06\x16x.reply.celery.pidbox")
    client.lpush("celery", "anything")
    client.lpush("x.reply.celery.pidbox", "an answer")

    assert [depth.queue for depth in world.broker().depths()] == ["celery"]


def test_thousands_of_delayed_messages_are_purged_in_shares(world, client):
    node = world.node()
    later = node.look().now + 60
    for queue in ("mine", "other"):
        publish(world.broker(), *(a_message(f"id-{number}", queue=queue, eta_at=later) for number in range(700)))

    assert world.broker().purge("mine") == 700

    assert client.zcard(KEYS.delayed) == 700
    assert client.hgetall(KEYS.delayed_counts) == {b"other": b"700"}


def test_letters_are_replayed_and_discarded_by_the_hundred(world):
    broker, node = world.broker(), world.node()
    publish(broker, *(a_message(f"id-{number:03}") for number in range(250)))
    node.bury(*node.claim(limit=1000))
    numbers = [letter.number for letter in broker.dead_letters(limit=1000)]

    assert broker.discard(numbers[:120]) == 120
    assert len(broker.replay(numbers[120:])) == 130

    assert task_ids(node.claim(limit=1000)) == [f"id-{number:03}" for number in range(130)]


def test_burying_is_done_once_though_its_answer_was_lost(world, behind, proxy, client):
    broker = behind.broker()
    until = time.monotonic() + ANSWER_WITHIN
    broker.bury([(a_message("first"), "why")], deadline_at=until)
    proxy.cut(Way.DOWN, keep=0.0)

    broker.bury([(a_message("second"), "why")], deadline_at=until)

    assert proxy.cut_off == 1
    assert [letter.task_id for letter in world.broker().dead_letters()] == ["second", "first"]


def test_replicas_that_are_asked_for_and_not_there_are_told(world):
    broker = world.broker()
    broker.options = msgspec.structs.replace(broker.options, publish_wait_replicas=1)

    with pytest.raises(BrokerUnavailable, match="publish_wait_replicas") as raised:
        broker.publish([a_message()], deadline_at=time.monotonic() + 1.0)

    assert raised.value.maybe_published


def _then_refuse(batches, proxy):
    for number, batch in enumerate(batches):
        if number == 1:
            proxy.refuse()
        yield batch


@pytest.mark.parametrize("many", [1, 3])
def test_queues_are_bound_by_the_next_publish_when_the_first_could_not(behind, proxy, client, many):
    broker = behind.broker()
    messages = [a_message(f"id-{number}") for number in range(many)]
    proxy.refuse()
    with pytest.raises(BrokerUnavailable) as caught:
        broker.publish(messages, deadline_at=time.monotonic() + 0.3)
    proxy.heal()

    publish(broker, *messages)

    assert not caught.value.maybe_published
    assert client.keys("_kombu.binding.*")


def test_nothing_is_said_to_be_published_when_only_the_binding_may_have_been_done(behind, proxy, client):
    broker = behind.broker()
    broker.open(deadline_at=time.monotonic() + 3)
    proxy.black_hole(Way.DOWN)

    with pytest.raises(BrokerUnavailable) as caught:
        broker.publish([a_message("id")], deadline_at=time.monotonic() + 0.3)

    assert not caught.value.maybe_published
