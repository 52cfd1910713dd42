from __future__ import annotations

import threading
import time

import pytest

from celeriac.brokers.redis.scripts import script
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import a_message, task_ids

LONG = 20.0


def looks(client) -> int:
    """Return how many claims were made since this was last asked: each asks for what is due once."""
    run = int(client.info("commandstats").get("cmdstat_zrangebyscore", {"calls": 0})["calls"])
    client.config_resetstat()
    return run


def test_what_has_taken_everything_sleeps_without_another_look(world, client):
    broker, node = world.broker(), world.node()
    publish(broker, a_message("a"), a_message("b"))
    client.script_load(script("claim").text)
    assert task_ids(node.claim(wait=LONG)) == ["a", "b"]
    looks(client)

    assert node.claim(wait=0.2) == []

    assert looks(client) == 1  # the last, for what came while nobody was told of anything


def test_what_has_left_something_looks_again(world, client):
    broker, node = world.broker(), world.node()
    publish(broker, a_message("a"), a_message("b"))
    assert task_ids(node.claim(limit=1, wait=LONG)) == ["a"]

    assert task_ids(node.claim(limit=1, wait=LONG)) == ["b"]


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_who_sleeps_at_once_hears_of_what_comes_then_and_of_what_came_before(world, delay):
    broker, node = world.broker(), world.node()
    for number in range(5):
        publish(broker, a_message(f"first-{number}"))
        node.finish(*node.claim(wait=LONG))
        publishing = threading.Timer(delay, publish, (broker, a_message(f"second-{number}")))
        publishing.start()
        if not delay:
            publishing.join()

        assert task_ids(node.claim(wait=LONG)) == [f"second-{number}"]


def test_who_sleeps_at_once_wakes_for_the_future(world):
    broker, node = world.broker(), world.node()
    publish(broker, a_message("soon", eta_at=time.time() + 0.3), a_message("now"))
    assert task_ids(node.claim(wait=LONG)) == ["now"]

    assert task_ids(node.claim(wait=LONG)) == ["soon"]


def test_who_sleeps_at_once_wakes_for_what_it_has_given_back(world):
    broker, node = world.broker(), world.node()
    publish(broker, a_message("a"))
    [delivery] = node.claim(wait=LONG)
    node.release(delivery)

    assert task_ids(node.claim(wait=LONG)) == ["a"]


def test_other_queues_are_looked_at_although_the_last_ones_were_left_empty(world):
    broker, node = world.broker(), world.node()
    publish(broker, a_message("a", queue="one"), a_message("b", queue="two"))
    assert task_ids(node.claim("one", wait=LONG)) == ["a"]

    assert task_ids(node.claim("two", wait=LONG)) == ["b"]


def test_a_look_that_leaves_nothing_tells_when_the_next_message_is_due(world):
    broker, node = world.broker(), world.node()
    eta_at = time.time() + 3600
    publish(broker, a_message("later", eta_at=eta_at), a_message("now"))

    taken = node.do(node.consumer._claiming.look(["q"], 10, everywhere=False))

    assert task_ids(taken.deliveries) == ["now"]
    assert taken.next_due_at == pytest.approx(eta_at, abs=0.01)
