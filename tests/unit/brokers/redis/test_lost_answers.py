from __future__ import annotations

from contextlib import suppress

import pytest
from msgspec.structs import replace

from celeriac.brokers.base import QueueDepth
from celeriac.brokers.redis.ownership import _joined
from celeriac.exceptions import BrokerUnavailable, LeaseLost
from celeriac.message import Route
from celeriac.testing.brokers.suite import end_of, publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, task_ids
from tests.servers.proxy import Way
from tests.unit.brokers.redis.looks import (
    KEYS,
    claim_script,
    held_by,
    lose_an_answer,
    wait_until,
)

EVERYBODY = Route(exchange="everybody", kind="fanout")


def test_messages_of_a_claim_whose_answer_was_lost_come_back_in_their_order(world, behind, proxy, client):
    """A3 (a): the connection is cut after the request."""
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(6)))
    node = behind.node()
    assert task_ids(node.claim(limit=1)) == ["id-0"]
    proxy.cut(Way.DOWN, keep=0.0, after=b"celeriac:held")

    with pytest.raises(BrokerUnavailable):
        node.claim(limit=4)
    assert client.hlen(KEYS.held(node.consumer.owner)) == 5

    again = node.claim(limit=100)

    assert task_ids(again) == [f"id-{number}" for number in range(1, 6)]
    assert not any(delivery.redelivered for delivery in again), "nobody had them in hands"
    assert client.hlen(KEYS.held(node.consumer.owner)) == 6


def test_claims_of_a_long_outage_are_given_back_as_one(world, behind, proxy, client):
    publish(world.broker(), a_message("a"), a_message("b"))
    node = behind.node()
    held = node.claim(limit=1)
    proxy.cut(Way.DOWN, keep=0.0, after=b"celeriac:held")
    with pytest.raises(BrokerUnavailable):
        node.claim(limit=500)
    proxy.refuse()
    for _ in range(20):
        with pytest.raises(BrokerUnavailable):
            node.claim(limit=500)
    proxy.heal()

    assert len(_joined(node.consumer._own._unanswered)) == 2
    assert task_ids(node.claim()) == ["b"]
    assert node.consumer._own._unanswered == {}
    assert node.finish(*held) == []


def test_a_claim_whose_answer_is_lost_while_an_epoch_begins_is_given_back_too(world, client):
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(3)))
    node = world.node()
    own = node.consumer._own
    node.do(lose_an_answer(node.consumer))
    run = own.run

    async def lose_a_claim(name, *args, **kwargs):
        answer = await run(name, *args, **kwargs)
        if name == "adopt" and not own._unanswered:
            with suppress(BrokerUnavailable), own.claiming(5) as first:
                own._epoch -= 1  # it was sent in the former epoch, and executed before the new one began
                client.hset(KEYS.held(own.owner), first, b"1:q" + client.rpop("q"))
                own._epoch += 1
                raise BrokerUnavailable("the connection broke", maybe_published=True)
        return answer

    own.run = lose_a_claim
    node.claim(limit=1)
    own.run = run

    assert sorted(task_ids(node.claim())) == ["id-0", "id-2"]
    assert client.hlen(KEYS.held(own.owner)) == 3


def test_a_cancelled_claim_gives_back_what_it_took(world, behind, proxy, client):
    publish(world.broker(), a_message())
    node = behind.node()
    node.claim("other")
    proxy.black_hole(Way.DOWN)
    claim = node.start(node.consumer.claim(["q"], limit=1, wait=0))
    wait_until(lambda: held_by(client, node))

    claim.cancel()
    proxy.heal()
    node.close()

    assert world.broker().depths() == [QueueDepth(queue="q", ready=1)]


def test_a_claim_of_a_former_connection_takes_nothing(world, client):
    """A3 (b): it was on its way when its connection broke, and comes when its sender has given it up."""
    publish(world.broker(), a_message())
    node = world.node()
    owner = node.consumer.owner
    zombie = claim_script(owner, epoch=1)

    node.do(lose_an_answer(node.consumer))
    assert node.claim("other") == []

    assert zombie(client) == [1]
    assert client.llen("q") == 1


def test_a_claim_of_an_owner_that_was_recovered_takes_nothing(world, client):
    """A3 (b): the node was stopped past its lease; what lay in its socket is executed when nobody looks any more."""
    publish(world.broker(), a_message())
    node, watcher = world.node(), world.node()
    zombie = claim_script(node.consumer.owner, epoch=1)

    world.outlast_lease(watcher)

    assert zombie(client) == [2]
    assert client.llen("q") == 1
    assert not client.exists(KEYS.held(node.consumer.owner))


def test_a_settlement_whose_answer_was_lost_is_not_refused_when_it_is_repeated(world, behind, proxy, client):
    publish(world.broker(), a_message("first"), a_message("a"), a_message("b"))
    node, results = behind.node(), behind.results()
    node.finish(*node.claim(limit=1))  # so that the server has the script, and its answer is not that it has none
    batch = [end_of(delivery, a_message("child", queue="next")) for delivery in node.claim()]
    proxy.cut(Way.DOWN, keep=0.0, after=b"celeriac:dead")

    with pytest.raises(BrokerUnavailable):
        node.settle(*batch, results=results)
    assert client.llen("next") == 2

    assert node.settle(*batch, results=results) == []
    assert client.llen("next") == 2
    assert len(node.settle(*batch, results=results)) == 2, "forgiven once"


def test_a_settlement_that_never_arrived_is_done_when_it_is_repeated(world, behind, proxy, client):
    publish(world.broker(), a_message())
    node = behind.node()
    batch = [end_of(delivery, a_message("child", queue="next")) for delivery in node.claim()]
    proxy.cut(Way.UP, keep=0.0)

    with pytest.raises(BrokerUnavailable):
        node.settle(*batch)

    assert node.settle(*batch) == []
    assert client.llen("next") == 1
    assert len(node.settle(*batch)) == 1


def test_what_is_said_after_a_settlement_may_be_lost_and_the_settlement_is_not(world, behind, proxy, client):
    publish(world.broker(), a_message())
    node = behind.node()
    [delivery] = node.claim()
    to_all = replace(a_message("news"), route=EVERYBODY)
    proxy.cut(Way.DOWN, keep=0.0, after=b"PUBLISH")

    assert node.settle(end_of(delivery, to_all)) == []

    assert proxy.cut_off == 1
    assert held_by(client, node) == {}


def test_what_would_be_said_after_a_settlement_that_is_refused_is_not_said(world, client):
    publish(world.broker(), a_message("lost"), a_message("kept"))
    node = world.node()
    lost, kept = node.claim()
    client.hdel(KEYS.held(node.consumer.owner), lost.tag)  # it belongs to somebody else
    with client.pubsub() as heard:
        heard.psubscribe("*everybody*")
        assert heard.get_message(timeout=ANSWER_WITHIN)["type"] == "psubscribe"

        refused = node.settle(
            *(
                end_of(one, replace(a_message(f"news of {one.message.task_id}"), route=EVERYBODY))
                for one in (lost, kept)
            )
        )

        client.publish("everybody", b"the end")
        said = iter(lambda: heard.get_message(timeout=ANSWER_WITHIN)["data"], b"the end")
        assert [b"news of kept" in envelope for envelope in said] == [True]
    assert [one.delivery for one in refused] == [lost]


def test_a_lost_answer_to_the_beginning_of_an_epoch_does_no_harm(world, behind, proxy, client):
    publish(world.broker(), a_message("a"), a_message("b"))
    node = behind.node()
    held = node.claim(limit=1)
    proxy.cut(Way.DOWN, keep=0.0, times=3)

    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            node.claim(limit=1)

    assert task_ids(node.claim()) == ["b"]
    assert node.finish(*held) == []


def test_reconcile_leaves_a_claim_that_is_under_way_alone(world, behind, proxy):
    """A3: a claim in flight is not astray."""
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(3)))
    node = behind.node()
    node.claim("other")
    proxy.delay(0.3, Way.DOWN)
    claiming = node.start(node.consumer.claim(["q"], limit=10, wait=0))
    reconciling = node.start(node.consumer.reconcile([]))

    claimed = claiming.result(ANSWER_WITHIN).deliveries
    assert len(claimed) == 3
    assert reconciling.result(ANSWER_WITHIN) == 0
    proxy.heal()
    assert node.reconcile([delivery.tag for delivery in claimed[:2]]) == 1


def test_reconcile_finds_what_a_failover_brought_back(world, client):
    """A3 (c): settled on the master that was lost; the new one still has it in flight."""
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()
    before = held_by(client, node)
    node.finish(delivery)
    client.hset(KEYS.held(node.consumer.owner), mapping=before)

    assert node.reconcile([]) == 1

    assert task_ids(node.claim()) == ["id-1"]


def test_a_node_whose_server_has_lost_all_of_it_begins_anew(world, client):
    node = world.node()
    client.flushall()
    publish(world.broker(), a_message())

    for call in (node.claim, node.extend):
        with pytest.raises(LeaseLost):
            call()
    node.open()

    assert task_ids(node.claim()) == ["id-1"]
