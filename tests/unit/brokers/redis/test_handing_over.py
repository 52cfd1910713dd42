"""A settlement claims what it publishes, where that could begin at once and nobody is passed over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from celeriac.brokers.base import Claim, QueueDepth
from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import BrokerUnavailable, CeleriacError
from celeriac.message import Message, Unique
from celeriac.testing.brokers.suite import end_of, publish
from celeriac.testing.worlds import Node, a_message, task_ids
from tests.servers.proxy import Way
from tests.unit.brokers.redis.looks import KEYS, held_by


class Body:
    """Be a node with bodies free."""

    def __init__(self, *queues: str, free: int = 1, takes: bool = True) -> None:
        self.queues = queues or ("q",)
        self.free = free
        self.takes = takes
        self.claims: list[Claim] = []

    def room(self) -> tuple[Sequence[str], int]:
        return self.queues, self.free

    def accepts(self, message: Message) -> bool:
        return self.takes

    def take(self, claim: Claim) -> None:
        self.claims.append(claim)

    @property
    def taken(self) -> list[str]:
        return [each for claim in self.claims for each in task_ids(claim.deliveries)]


def claimed(node: Node, body: Body) -> Any:
    """Claim the one message that there is, by a node that has this body."""
    node.consumer.hand_over_to(body)
    [delivery] = node.claim(*body.queues)
    return delivery


def test_what_follows_is_claimed_with_the_end_of_what_it_follows(world, client):
    publish(world.broker(), a_message("first"))
    node, results, body = world.node(), world.results(), Body()
    first = claimed(node, body)
    follower = a_message("second")

    assert node.settle(end_of(first, follower), results=results) == []

    [claim] = body.claims
    [second] = claim.deliveries
    assert (second.message, second.redelivered, second.owner) == (follower, False, node.consumer.owner)
    assert held_by(client, node).keys() == {b"%d" % second.tag}
    assert not client.exists("q")
    assert node.claim() == []
    assert node.settle(end_of(second), results=results) == []
    assert held_by(client, node) == {}
    assert results.get_many(["first", "second"]).keys() == {"first", "second"}


def test_what_was_handed_over_is_what_a_claim_would_have_had(world):
    publish(world.broker(), a_message("first"))
    node, other, body = world.node(), world.node(), Body()
    node.settle(
        end_of(claimed(node, body), replace(a_message("second", priority=4), properties=b'{"reply_to": "who"}'))
    )
    [delivery] = body.claims[0].deliveries

    node.release(delivery)

    [again] = other.claim()
    assert again.message == delivery.message


@pytest.mark.parametrize(
    "waiting", [a_message("waits"), a_message("waits", priority=9), a_message("waits", queue="other")], ids=str
)
def test_what_waits_is_not_passed_over(world, waiting):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body("q", "other")
    first = claimed(node, body)
    publish(world.broker(), waiting)

    node.settle(end_of(first, a_message("second")))

    assert body.taken == []
    assert sorted(task_ids(node.claim("q", "other"))) == ["second", "waits"]


def test_what_has_become_due_is_not_passed_over(world):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body()
    first = claimed(node, body)
    publish(world.broker(), a_message("late", eta_at=node.look("another").now + 5.0))
    assert node.claim() == []
    world.advance(6.0)

    node.settle(end_of(first, a_message("second")))

    assert body.taken == []
    assert sorted(task_ids(node.claim())) == ["late", "second"]


def test_a_node_gets_as_many_as_it_has_bodies_free_and_the_others_wait_in_their_order(world):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body(free=2)

    node.settle(end_of(claimed(node, body), *map(a_message, "abcd")))

    assert body.taken == ["a", "b"]
    assert task_ids(node.claim()) == ["c", "d"]


LATER = 4e9


@pytest.mark.parametrize(
    "follower",
    [
        a_message("second", queue="elsewhere"),
        a_message("second", unique=Unique(key="k", lasts=60.0)),
        a_message("second", eta_at=LATER),
        replace(a_message("second"), properties=b'{"x": 1}'),
    ],
    ids=["another queue", "unique", "later", "properties"],
)
def test_what_is_not_plain_goes_to_its_queue(world, client, follower):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body()

    node.settle(end_of(claimed(node, body), follower))

    assert body.taken == []
    assert held_by(client, node) == {}
    assert sum(depth.ready + depth.delayed for depth in world.broker().depths(["q", "elsewhere"])) == 1


@pytest.mark.parametrize("body", [Body(free=0), Body(takes=False)], ids=["no room", "not accepted"])
def test_what_could_not_begin_goes_to_its_queue(world, body):
    publish(world.broker(), a_message("first"))
    node = world.node()

    node.settle(end_of(claimed(node, body), a_message("second")))

    assert body.taken == []
    assert world.broker().depths() == [QueueDepth(queue="q", ready=1)]


def test_nothing_follows_what_belongs_to_others(world, client):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body()
    first = claimed(node, body)
    node.release(first)
    [again] = world.node().claim()

    assert node.settle(end_of(first, a_message("second"))) == [end_of(first, a_message("second"))]

    assert again.message.task_id == "first"
    assert body.taken == []
    assert held_by(client, node) == {}


def test_what_was_claimed_by_a_settlement_without_an_answer_comes_back_once(world, behind, proxy, client):
    publish(world.broker(), a_message("before"), a_message("first"))
    node, results, body = behind.node(), behind.results(), Body()
    node.finish(*node.claim(limit=1))  # so that the server has the script, and its answer is not that it has none
    end = end_of(claimed(node, body), a_message("second"))
    proxy.cut(Way.DOWN, keep=0.0, after=b"celeriac:dead")
    with pytest.raises(BrokerUnavailable):
        node.settle(end, results=results)
    assert client.hlen(KEYS.held(node.consumer.owner)) == 1

    assert node.settle(end, results=results) == []

    assert body.taken == []
    assert task_ids(node.claim()) == ["second"]
    assert client.hlen(KEYS.held(node.consumer.owner)) == 1


def test_what_was_claimed_with_a_batch_of_which_one_failed_runs_once(world, client):
    publish(world.broker(), a_message("a"), a_message("b"))
    node, body = world.node(), Body(free=2)
    node.consumer.hand_over_to(body)
    first, second = node.claim()
    client.set("taken", "of another program")
    ends = [end_of(first, a_message("after a")), end_of(second, a_message("after b", queue="taken"))]

    with pytest.raises(CeleriacError, match="WRONGTYPE"):
        node.settle(*ends)

    assert body.taken == ["after a"]
    client.delete("taken")
    assert node.settle(*ends) == []
    assert task_ids(node.claim("q", "taken")) == ["after b"]
    assert body.taken == ["after a"]


def test_a_dead_node_leaves_what_it_was_handed_to_others(world):
    publish(world.broker(), a_message("first"))
    node, watcher, body = world.node(), world.node(), Body()
    node.settle(end_of(claimed(node, body), a_message("second")))
    assert body.taken == ["second"]
    world.kill(node)

    assert world.outlast_lease(watcher) == 1

    assert task_ids(watcher.claim()) == ["second"]


def test_what_was_handed_over_is_not_taken_for_astray(world):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body()
    node.settle(end_of(claimed(node, body), a_message("second")))
    [delivery] = body.claims[0].deliveries

    assert node.do(node.consumer.reconcile([delivery.tag])) == 0
    assert node.do(node.consumer.reconcile([])) == 1


def test_whoever_is_handed_something_hears_of_what_was_revoked_before(world):
    publish(world.broker(), a_message("first"))
    node, body = world.node(), Body()
    first = claimed(node, body)
    world.broker().revoke([Revocation(task_id="second", at=0.0, expires_at=LATER)], deadline_at=time.monotonic() + 5)

    node.settle(end_of(first, a_message("second")))

    assert body.claims[0].revocations == 1
