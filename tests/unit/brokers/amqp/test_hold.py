"""Copies that stand for what is under way for long, on a real server whose patience and delays are short."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from celeriac.brokers.amqp import topology
from celeriac.brokers.amqp.consumer import AmqpConsumer
from celeriac.brokers.amqp.held import Held
from celeriac.brokers.base import Delivery, ReleaseCause
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import Node, a_message, task_ids
from tests.unit.brokers.amqp_world import AmqpWorld

PATIENCE = 15.0
STAYS = 1.5
"""Seconds for which a copy waits for its node: a tenth of what it is."""

STAYS_FOR_LONG = 2 * PATIENCE
"""Likewise, where no test may take so long that it goes back."""

QUEUES = {"classic": {"delayed_queue_type": "classic"}, "quorum": {"queue_type": "quorum"}}


@pytest.fixture(params=QUEUES)
def world(amqp_url, monkeypatch, request):
    monkeypatch.setattr(topology, "HOLD_TTL", STAYS)
    world = AmqpWorld(amqp_url, consumer_timeout=0.03, **QUEUES[request.param])
    yield world
    world.end()


@pytest.fixture
def lasting(monkeypatch):
    """Let copies wait for as long as no test takes."""
    monkeypatch.setattr(topology, "HOLD_TTL", STAYS_FOR_LONG)


def under_way(world: AmqpWorld, *, body: bytes = b"[[], {}, {}]", priority: int = 0) -> tuple[Node, Delivery]:
    """Let a node begin something."""
    publish(world.broker(), a_message("long", body=body, priority=priority))
    node = world.node()
    [delivery] = claimed(node)
    return node, delivery


def claimed(node: Node, *, within: float = PATIENCE) -> list[Delivery]:
    until = time.monotonic() + within
    while not (deliveries := node.claim(wait=0.2)) and time.monotonic() < until:
        pass
    return deliveries


def all_held(node: Node) -> list[Held]:
    return list(insides(node)._holdings._by_tag.values())


def copies(node: Node) -> int:
    """Count what copies stand for on the present connection."""
    channel = insides(node)._channel
    if not channel.is_open:
        return 0
    places = [held.place for held in all_held(node)]
    return sum(place is not None and place.is_copy and place.serial == channel.serial for place in places)


def is_copied(node: Node) -> bool:
    return copies(node) > 0


def keep(node: Node, *, until: Callable[[], Any]) -> None:
    """Show that the node lives until something holds."""
    give_up_at = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < give_up_at, "it never held"
        node.extend()
        time.sleep(0.02)


def insides(node: Node) -> AmqpConsumer:
    assert isinstance(node.consumer, AmqpConsumer)
    return node.consumer


def cut(node: Node) -> None:
    """Let the connection of a node break."""
    node.do(insides(node)._channel.close())


def test_a_copy_stands_for_what_takes_long_until_it_ends(world):
    node, delivery = under_way(world)

    keep(node, until=lambda: is_copied(node))
    [held] = all_held(node)
    first = held.place
    keep(node, until=lambda: held.place != first and is_copied(node))

    assert node.finish(delivery) == []
    node.close()
    assert claimed(world.node(), within=2 * STAYS) == []


@pytest.mark.usefixtures("lasting")
def test_a_connection_that_breaks_for_a_moment_repeats_nothing_even_in_a_fleet(world):
    node, delivery = under_way(world)
    other = world.node(name="w2@host")
    assert other.claim(wait=0.05) == []
    keep(node, until=lambda: is_copied(node))

    cut(node)

    assert other.claim(wait=0.3) == [], "the copy waits for its node"
    keep(node, until=lambda: is_copied(node))
    assert node.finish(delivery) == []
    copies_wait_in = insides(node)._hold._queues["q"]
    node.close()
    assert [depth.ready for depth in world.broker().depths(["q", copies_wait_in])] == [0, 0]
    assert other.claim(wait=0.3) == []


def test_what_a_dead_node_had_for_long_comes_to_another_and_counts_as_a_loss(world):
    node, _ = under_way(world, body=b'[["all of it"], {}, {}]', priority=3)
    other = world.node(name="w2@host")
    assert other.claim(wait=0.05) == []
    keep(node, until=lambda: is_copied(node))

    world.kill(node)

    [again] = claimed(other)
    assert again.message.task_id == "long"
    assert again.message.body == b'[["all of it"], {}, {}]'
    assert again.message.priority == 3
    assert again.redelivered
    [held] = all_held(other)
    assert held.losses == 1
    assert other.finish(again) == []
    assert claimed(other, within=2 * STAYS) == []


def test_a_copy_that_comes_back_by_the_queue_is_known(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    cut(node)
    time.sleep(3 * STAYS)  # the node is stalled for longer than the copy waits
    node.extend()

    keep(node, until=lambda: is_copied(node))
    assert node.claim(wait=2 * STAYS) == []
    assert node.finish(delivery) == []
    assert claimed(node, within=2 * STAYS) == []


def test_a_run_that_ends_while_its_copy_is_away_is_acknowledged_when_it_comes(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    cut(node)
    assert node.finish(delivery) == []

    assert claimed(node, within=3 * STAYS) == []
    node.close()
    assert claimed(world.node(), within=2 * STAYS) == []


@pytest.mark.usefixtures("lasting")
def test_what_is_given_back_goes_at_once_and_uncounted(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    node.release(delivery)

    [again] = claimed(node)
    assert not again.redelivered
    assert node.finish(again) == []
    copies_wait_in = insides(node)._hold._queues["q"]
    node.close()
    assert [depth.ready for depth in world.broker().depths(["q", copies_wait_in])] == [0, 0]


def test_a_crash_is_counted_beside_the_losses(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    node.release(delivery, cause=ReleaseCause.CRASH)

    [again] = claimed(node)
    assert again.crashes == 1
    assert node.finish(again) == []
    assert claimed(node, within=2 * STAYS) == []


@pytest.mark.parametrize("step", ["before it comes", "before the message is acknowledged"])
def test_a_node_that_dies_between_two_steps_repeats_at_most_and_loses_nothing(world, step):
    node, _ = under_way(world)
    consumer = insides(node)
    reached = threading.Event()
    if step == "before it comes":
        consumer._channel.receive_copy = lambda message, serial: reached.set()
    else:
        consumer._claims.drop = lambda place: reached.set()  # type: ignore[method-assign]  # the step never taken
    keep(node, until=reached.is_set)

    world.kill(node)

    other = world.node(name="w2@host")
    until = time.monotonic() + 3 * STAYS
    runs = []
    while time.monotonic() < until:
        deliveries = other.claim(wait=0.1)
        runs += task_ids(deliveries)
        other.finish(*deliveries)
    assert runs in (["long"], ["long", "long"])


def test_a_queue_of_copies_that_somebody_deletes_is_declared_again(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))
    [held] = all_held(node)

    node.do(insides(node)._channel._copies.queue_delete(insides(node)._hold._queues["q"]))
    first = held.place
    keep(node, until=lambda: held.place != first and is_copied(node))

    assert node.finish(delivery) == []


def test_many_at_once_are_kept(world):
    count = 1_200 if world._options.queue_type is None else 30  # which are all that such a queue gives at once
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(count)))
    node = world.node()
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        deliveries += node.claim(wait=1.0, limit=count)

    keep(node, until=lambda: copies(node) == count)
    first = {held.run: held.place for held in all_held(node)}
    keep(node, until=lambda: all(held.place != first[held.run] for held in all_held(node)))

    assert node.finish(*deliveries) == []
    node.close()
    assert claimed(world.node(), within=2 * STAYS) == []


def test_what_is_given_back_without_a_connection_is_there_once(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    cut(node)
    node.release(delivery)

    [again] = claimed(node)
    assert again.message.task_id == "long"
    assert node.finish(again) == []
    assert claimed(node, within=2 * STAYS) == []


def test_what_is_given_back_for_a_moment_comes_again_once(world):
    node, delivery = under_way(world)
    keep(node, until=lambda: is_copied(node))

    node.release(delivery, eta_at=time.time() + 0.5)

    [again] = claimed(node)
    assert node.finish(again) == []
    assert claimed(node, within=2 * STAYS) == []


def test_what_came_with_faults_goes_back_as_it_is(world):
    publish(world.broker(), a_message("long", body=b"[[" + b"1," * 1000 + b"1], {}, {}]"))
    node = world.node(world.broker(message_max_bytes=1000))
    [delivery] = claimed(node)
    assert delivery.fault is not None
    assert delivery.message.body == b""

    node.do(insides(node)._send_on([delivery]))
    node.close()

    [again] = claimed(world.node())
    assert len(again.message.body) > 1000
