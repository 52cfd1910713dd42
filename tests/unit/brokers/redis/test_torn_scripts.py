from __future__ import annotations

import pytest

from celeriac.exceptions import CeleriacError
from celeriac.testing.brokers.suite import end_of, publish
from celeriac.testing.worlds import a_message, task_ids
from tests.unit.brokers.redis.looks import (
    KEYS,
    held_by,
)


@pytest.mark.parametrize("many", [3_999, 4_000, 8_192, 10_000])
def test_a_claim_of_thousands_loses_none(world, client, many):
    """A2: what `unpack` takes at a time is limited."""
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(many)))
    node = world.node()

    claimed = node.claim(limit=many)

    assert len(claimed) == client.hlen(KEYS.held(node.consumer.owner)) == many
    assert node.finish(*claimed) == []
    assert world.broker().depths() == []


def test_a_claim_that_cannot_be_recorded_leaves_the_message_where_it_was(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    client.set(KEYS.held(node.consumer.owner), "not a hash")

    with pytest.raises(CeleriacError, match="WRONGTYPE"):
        node.claim()

    assert client.llen("q") == 1


def test_a_queue_whose_key_is_no_list_does_not_stop_the_others(world, client, caplog):
    publish(world.broker(), a_message(queue="good"))
    client.set("bad", "of another program")
    node = world.node()

    claimed = [node.claim("bad", "good"), node.claim("bad", "good")]

    assert [task_ids(some) for some in claimed] == [["id-1"], []]
    complaints = [record.getMessage() for record in caplog.records if "queue bad" in record.getMessage()]
    assert len(complaints) == 1
    assert "WRONGTYPE" in complaints[0]


def test_an_outcome_that_cannot_be_published_stays_claimed_and_the_others_end(world, client):
    """A2: one continuation key of the wrong type among a batch."""
    publish(world.broker(), *(a_message(task_id) for task_id in "abc"))
    node, results = world.node(), world.results()
    first, second, third = node.claim()
    client.set("taken", "of another program")
    batch = [
        end_of(first, a_message("after a", queue="next")),
        end_of(second, a_message("after b", queue="taken")),
        end_of(third, a_message("after c", queue="next")),
    ]

    with pytest.raises(CeleriacError, match=r"1 of 3.*\(b\).*WRONGTYPE.*taken"):
        node.settle(*batch, results=results)

    assert len(held_by(client, node)) == 1
    assert task_ids(node.claim("next")) == ["after a", "after c"]
    assert results.get_many(["a", "b", "c"]).keys() == {"a", "c"}
    # The settler divides the batch, and repeats: what has ended is not refused.
    assert node.settle(batch[0], results=results) == []
    assert node.settle(batch[2], results=results) == []
    client.delete("taken")
    assert node.settle(batch[1], results=results) == []
    assert task_ids(node.claim("next", "taken")) == ["after b"]


def test_what_has_ended_is_forgiven_once_only(world):
    publish(world.broker(), a_message("a"), a_message("b"))
    node = world.node()
    first, second = node.claim()
    with world.client() as client:
        client.set("taken", "of another program")
    with pytest.raises(CeleriacError):
        node.settle(end_of(first), end_of(second, a_message("x", queue="taken")))

    assert node.settle(end_of(first)) == []
    assert len(node.settle(end_of(first))) == 1


def test_a_released_message_whose_list_is_taken_is_kept_for_later(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    held = node.claim()
    client.set("q", "of another program")

    node.release(*held)

    assert held_by(client, node) == {}
    client.delete("q")
    world.advance(61.0)
    assert task_ids(node.claim()) == ["id-1"]


def test_recovery_goes_on_where_a_list_is_taken(world, client):
    publish(world.broker(), a_message("stuck", queue="taken"), a_message("free"))
    dead, watcher = world.node(), world.node()
    dead.claim("taken", "q")
    world.kill(dead)
    client.set("taken", "of another program")

    assert world.outlast_lease(watcher) == 2

    assert task_ids(watcher.claim()) == ["free"]
    assert client.smembers(KEYS.dying) == set()
    client.delete("taken")
    world.advance(61.0)
    assert task_ids(watcher.claim("taken")) == ["stuck"]


def test_what_is_due_for_a_list_that_is_taken_does_not_hold_up_the_rest(world, client):
    node = world.node()
    due_at = node.look().now + 10
    publish(
        world.broker(), a_message("stuck", queue="taken", eta_at=due_at), a_message("free", queue="q", eta_at=due_at)
    )
    client.set("taken", "of another program")
    world.advance(11.0)

    assert task_ids(node.claim()) == ["free"]

    client.delete("taken")
    world.advance(61.0)
    assert task_ids(node.claim("taken")) == ["stuck"]
