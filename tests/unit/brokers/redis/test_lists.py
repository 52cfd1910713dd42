from __future__ import annotations

import msgspec
import pytest

from celeriac.brokers.base import ReleaseCause
from celeriac.exceptions import CeleriacError
from celeriac.testing.brokers.suite import end_of, publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, task_ids
from celeriac.wire.envelope import write_envelope
from tests.unit.brokers.redis.looks import (
    KEYS,
)

# -- lists and counts (A11, A12) --------------------------------------------------------------------------------------


def test_what_comes_back_lies_in_the_list_that_it_was_taken_from(world, client):
    """A11: what an envelope says is where it was published, and not the queue."""
    step = KEYS.list_of("q", 3)
    client.lpush(step, write_envelope(a_message(), delivery_tag="x", exchange="topics", routing_key="a.b.c"))
    node = world.node()

    node.release(*node.claim())
    assert client.keys("q*") == [step]
    node.claim()
    node.close()
    assert client.keys("q*") == [step]


def test_envelopes_come_back_byte_for_byte(world, client):
    """A12: Lua would change lists, large numbers, NaN and the order of keys."""
    odd = b'{"z": [], "a": {}, "n": 12345678901234567890, "f": 1.10, "x": NaN, "task": "t", "id": "i"}'
    raw = write_envelope(msgspec.structs.replace(a_message("i"), headers=odd), delivery_tag="x")
    client.lpush("q", raw)
    node, watcher = world.node(), world.node()

    node.release(*node.claim(), cause=ReleaseCause.CRASH)
    node.consumer.note_started(*node.claim())
    node.extend()
    world.kill(node)
    world.outlast_lease(watcher)

    assert client.lrange("q", 0, -1) == [raw]
    [delivery] = watcher.claim()
    assert (delivery.crashes, delivery.node_losses) == (1, 1)


def test_two_messages_of_one_id_count_apart(world, client):
    publish(world.broker(), a_message("same", body=b"[1]"), a_message("same", body=b"[2]"))
    node = world.node()

    node.release(node.claim()[0], cause=ReleaseCause.CRASH)

    assert [(one.message.body, one.crashes) for one in node.claim()] == [(b"[1]", 1)]


def test_counts_go_with_the_message(world, client):
    publish(world.broker(), a_message("a"), a_message("b"))
    node = world.node()
    node.release(*node.claim(), cause=ReleaseCause.CRASH)
    assert client.hlen(KEYS.counts) == 2
    first, second = node.claim()

    node.finish(first)
    node.bury(second)

    assert not client.exists(KEYS.counts)


def test_an_envelope_that_celery_restored_counts_as_redelivered(world, client):
    raw = write_envelope(a_message(), delivery_tag="x").replace(
        b'"routing_key": "q"}', b'"routing_key": "q", "redelivered": true}'
    )
    client.lpush("q", raw)

    [delivery] = world.node().claim()

    assert delivery.redelivered


def test_old_counts_are_cleaned_away(world, client):
    publish(world.broker(), a_message("a"))
    node = world.node()
    node.release(*node.claim(), cause=ReleaseCause.CRASH)
    client.delete("q")
    broker = world.broker()

    broker.clean()
    assert client.exists(KEYS.counts)
    world.advance(31 * 86_400.0)
    broker.clean()

    assert not client.exists(KEYS.counts)


# -- a full server (A14) ----------------------------------------------------------------------------------------------


def test_a_full_server_drains(world, client):
    """A14: only publishing is refused."""
    broker, results = world.broker(), world.results()
    publish(broker, *(a_message(f"id-{number}") for number in range(6)))
    node, dead = world.node(), world.node()
    dead.claim(limit=1)
    world.kill(dead)
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 1)
    try:
        with pytest.raises(CeleriacError, match="memory limit"):
            publish(broker, a_message("one more"))
        first, second, third, fourth = node.claim(limit=4)
        node.settle(end_of(first, a_message("follows", queue="next")), results=results)
        node.bury(second)
        node.release(third)
        node.release(fourth, eta_at=node.look("none").now + 5, cause=ReleaseCause.CRASH)
        world.outlast_lease(node)
        node.extend()
        assert node.reconcile([]) == 0
        other = world.node()
        other.close()
        assert len(node.claim("q", "next")) == 5
    finally:
        client.config_set("maxmemory", 0)
    assert results.get(first.message.task_id) is not None


# -- many queues (A15) ------------------------------------------------------------------------------------------------


def test_a_claim_over_a_thousand_queues_names_few_lists_and_misses_none(world, client):
    queues = [f"q{number}" for number in range(1000)]
    node = world.node()
    publish(world.broker(), *(a_message(queue, queue=queue) for queue in queues[::100]))

    claimed: list[str] = []
    while len(claimed) < 10:
        claimed += task_ids(node.claim(*queues, limit=100, wait=ANSWER_WITHIN))

    assert sorted(claimed) == sorted(queues[::100])
    publish(world.broker(), a_message("busy", queue="q555"))
    assert task_ids(node.claim(*queues, wait=ANSWER_WITHIN)) == ["busy"]
    before = client.info("commandstats")["cmdstat_rpop"]["calls"]
    node.claim(*queues)
    assert client.info("commandstats")["cmdstat_rpop"]["calls"] - before <= 4 * 16 + 64


def test_busy_queues_among_many_are_served_without_waiting(world):
    queues = [f"q{number}" for number in range(500)]
    node = world.node()
    publish(world.broker(), *(a_message(f"id-{number}", queue=f"q{number % 10 * 37}") for number in range(2000)))

    claimed = node.claim(*queues, limit=100, wait=ANSWER_WITHIN)
    rounds = 1
    while len(claimed) < 2000:
        claimed += node.claim(*queues, limit=100, wait=ANSWER_WITHIN)
        rounds += 1

    assert rounds <= 30
    assert len(set(task_ids(claimed))) == 2000
