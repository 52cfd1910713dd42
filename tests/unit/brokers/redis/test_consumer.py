from __future__ import annotations

import os
import time
from contextlib import suppress

import msgspec
import pytest

from celeriac.brokers.base import QueueDepth, ReleaseCause, Settlement
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.ownership import _joined
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import BrokerUnavailable, CeleriacError, ImproperlyConfigured, LeaseLost
from celeriac.testing.brokers.suite import MIB, end_of, publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, a_result, task_ids
from celeriac.wire.envelope import write_envelope
from tests.servers.proxy import Way

KEYS = Keys()


def held_by(client, node) -> dict[bytes, bytes]:
    return client.hgetall(KEYS.held(node.consumer.owner))


def ours(client) -> set[bytes]:
    """Name the keys of ours that stay although nothing waits or runs."""
    lasting = {b"format", b"queues", b"alive", b"dead:last"}
    names = {name.removeprefix(b"celeriac:") for name in client.keys("celeriac:*")}
    return {name for name in names - lasting if not name.startswith(b"sent:")}


# -- owners (A1) --------------------------------------------------------------------------------------------------


def test_a_successor_of_the_same_name_overwrites_no_claim(world, client):
    """A1: a node that is killed and started again at once."""
    broker = world.broker()
    publish(broker, a_message("a"), a_message("b"))
    first = world.node(name="w1@host")
    first.claim(limit=1)
    world.kill(first)

    second = world.node(name="w1@host")
    second.claim(limit=1)

    assert len(held_by(client, first)) == len(held_by(client, second)) == 1
    world.outlast_lease(second)
    assert task_ids(second.claim()) == ["a"]


def test_owners_are_random_numbers_that_fit_in_63_bits(world):
    owners = [world.node().consumer.owner for _ in range(8)]

    assert all(0 < owner < 2**63 for owner in owners)
    assert max(owners).bit_length() > 40
    assert len(set(owners)) == 8


def test_an_owner_that_has_signed_off_leaves_nothing_behind(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    node.consumer.note_started(*node.claim())
    node.extend()

    node.close()

    assert ours(client) == {b"counts"}
    node.open()
    node.finish(*node.claim())
    node.close()
    assert ours(client) == set()
    assert not client.exists(KEYS.alive), "no node lives, so future messages lie where Celery finds them"


def test_a_dead_owner_leaves_nothing_behind(world, client):
    publish(world.broker(), a_message())
    dead, watcher = world.node(), world.node()
    dead.consumer.note_started(*dead.claim())
    dead.extend()
    world.kill(dead)

    world.outlast_lease(watcher)
    watcher.finish(*watcher.claim())
    watcher.close()

    assert ours(client) == set()


def test_a_store_of_another_version_is_not_touched(world, client):
    client.set(KEYS.format, "99")

    with pytest.raises(ImproperlyConfigured, match=r"format '99'.*upgrade"):
        world.node()

    assert not client.exists(KEYS.owners)


# -- scripts that break off (A2) ----------------------------------------------------------------------------------


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


# -- answers that are lost (A3) -----------------------------------------------------------------------------------


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
    node.do(_lose_an_answer(node.consumer))
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
    _wait_until(lambda: held_by(client, node))

    claim.cancel()
    proxy.heal()
    node.close()

    assert world.broker().depths() == [QueueDepth(queue="q", ready=1)]


def test_a_claim_of_a_former_connection_takes_nothing(world, client):
    """A3 (b): it was on its way when its connection broke, and comes when its sender has given it up."""
    publish(world.broker(), a_message())
    node = world.node()
    owner = node.consumer.owner
    zombie = _claim_script(owner, epoch=1)

    node.do(_lose_an_answer(node.consumer))
    assert node.claim("other") == []

    assert zombie(client) == [1]
    assert client.llen("q") == 1


def test_a_claim_of_an_owner_that_was_recovered_takes_nothing(world, client):
    """A3 (b): the node was stopped past its lease; what lay in its socket is executed when nobody looks any more."""
    publish(world.broker(), a_message())
    node, watcher = world.node(), world.node()
    zombie = _claim_script(node.consumer.owner, epoch=1)

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


# -- leases (A4) --------------------------------------------------------------------------------------------------


def test_a_server_that_was_away_kills_nobody(world, behind, proxy):
    """A4: after a lost connection the watch begins anew."""
    node, watcher = world.node(), behind.node()
    for _ in range(7):
        world.advance(1.0)
        behind.clock.advance(1.0)
        watcher.recover()
    proxy.reset()

    with pytest.raises(BrokerUnavailable):
        watcher.recover()
    behind.clock.advance(2.0)
    assert watcher.recover() == 0
    behind.clock.advance(2.0)
    assert watcher.recover() == 0

    assert node.claim() == []


def test_an_owner_that_beats_at_the_last_moment_lives(world, client):
    """A4: between the look and the sentence."""
    node = world.node()
    names = [KEYS.owners, KEYS.epochs, KEYS.beats, KEYS.dying]
    beat = client.hget(KEYS.beats, node.consumer.owner)
    node.extend()

    assert client.eval(script("condemn").text, 4, *names, node.consumer.owner, beat) == 0

    assert node.claim() == []


def test_what_a_dead_owner_held_comes_back_in_shares_in_its_order(world, client):
    publish(world.broker(), *(a_message(f"id-{number:04}") for number in range(1300)))
    dead, watcher = world.node(), world.node()
    dead.claim(limit=1200)
    world.kill(dead)

    assert world.outlast_lease(watcher) == 1200

    assert task_ids(watcher.claim(limit=2000)) == [f"id-{number:04}" for number in range(1300)]


def test_a_recovery_that_was_broken_off_is_gone_on_with_by_anybody(world, client):
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(5)))
    dead, watcher = world.node(), world.node()
    dead.claim()
    owner = dead.consumer.owner
    world.kill(dead)
    condemned = [KEYS.owners, KEYS.epochs, KEYS.beats, KEYS.dying]
    client.eval(script("condemn").text, 4, *condemned, owner, 0)
    names = [KEYS.dying, KEYS.held(owner), KEYS.started(owner), KEYS.counts, KEYS.delayed, KEYS.delayed_counts]
    assert client.eval(script("recover").text, 6, *names, owner, 0, 2) == [2, 3]

    assert watcher.recover() == 3

    assert task_ids(watcher.claim()) == [f"id-{number}" for number in range(5)]


def test_two_peers_that_recover_at_once_give_back_each_message_once(world):
    publish(world.broker(), *(a_message(f"id-{number}") for number in range(800)))
    dead, first, second = world.node(), world.node(), world.node()
    dead.claim(limit=800)
    world.kill(dead)
    recovered = 0
    for _ in range(12):
        world.advance(1.0)
        for node in (first, second):
            node.extend()
        looks = [node.start(node.consumer.recover()) for node in (first, second)]
        recovered += sum(look.result(ANSWER_WITHIN) for look in looks)

    assert recovered == 800
    assert len(first.claim(limit=2000)) == 800


# -- ETA (A6, A7, A18) --------------------------------------------------------------------------------------------


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
    headers = msgspec.json.encode({"task": "t", "id": "early", "eta": _iso(due_at)})
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
    early = msgspec.json.encode({"task": "t", "id": "early", "eta": _iso(due_at)})
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
    headers = msgspec.json.encode({"task": "t", "id": "early", "eta": _iso(time.time() + 60)})
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


# -- lists and counts (A11, A12) ----------------------------------------------------------------------------------


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


# -- a full server (A14) ------------------------------------------------------------------------------------------


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


# -- what cannot be handed over (A16) -----------------------------------------------------------------------------


def test_a_huge_message_is_not_sent(world, client):
    """A16: only its end is, which tells who it is."""
    huge = a_message("huge", body=os.urandom(3 * MIB))
    publish(world.broker(), huge, a_message("small"))
    node = world.node(world.broker(message_max_bytes=MIB))
    sent_before = client.info("stats")["total_net_output_bytes"]

    big, small = node.claim()

    assert client.info("stats")["total_net_output_bytes"] - sent_before < MIB
    assert (big.message.task_id, big.message.headers, big.message.body) == ("huge", huge.headers, b"")
    assert "message_max_bytes" in str(big.fault)
    assert small.fault is None
    node.bury(big, reason="too large")
    [letter] = world.broker().dead_letters()
    assert (letter.task_id, letter.task) == ("huge", "shop.pay")
    assert letter.size_bytes == pytest.approx(huge.size_bytes, abs=4)
    shown = world.broker().dead_letter(letter.number)
    assert shown is not None
    assert shown.message == huge


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"body": 5}',
        b'{"body": "%%%", "properties": {"body_encoding": "base64"}}',
        b"x" * 300_000,
    ],
)
def test_what_is_no_envelope_is_handed_over_as_a_fault_with_its_bytes(world, client, raw):
    client.lpush("q", raw, write_envelope(a_message("good"), delivery_tag="x"))
    node = world.node()

    bad, good = node.claim()

    assert bad.fault
    assert bad.message.body == raw
    assert (good.message.task_id, good.fault) == ("good", None)
    node.bury(bad, reason="no envelope")
    [letter] = world.broker().dead_letters()
    assert letter.size_bytes == len(raw)
    shown = world.broker().dead_letter(letter.number)
    assert shown is not None
    assert shown.message is not None
    assert shown.message.body == raw


def test_a_damaged_envelope_keeps_its_name(world, client):
    raw = write_envelope(a_message("known"), delivery_tag="x").replace(b'"headers": {', b'"headers": {{')
    client.lpush("q", raw)

    [delivery] = world.node().claim()

    assert delivery.message.task_id == "known"
    assert delivery.fault


# -- notes of what has begun --------------------------------------------------------------------------------------


def test_what_goes_on_for_a_while_is_noted_without_another_call(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    [delivery] = node.claim()

    node.do(_note(node.consumer, delivery))

    _wait_until(lambda: client.smembers(KEYS.started(node.consumer.owner)) == {b"%d" % delivery.tag})


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


# -- many queues (A15) --------------------------------------------------------------------------------------------


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


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))


def _wait_until(claim) -> None:
    until = time.monotonic() + ANSWER_WITHIN
    while not claim():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.01)


def _claim_script(owner, *, epoch):
    names = [KEYS.epochs, KEYS.held(owner), KEYS.started(owner), KEYS.counts, KEYS.delayed, KEYS.delayed_counts]
    names += [KEYS.bookings, KEYS.replaced, KEYS.revoked_version, b"q"]
    args = [owner, epoch, 0, 1, 10, MIB, MIB, MIB, "", ""]
    return lambda client: client.eval(script("claim").text, len(names), *names, *args)


async def _lose_an_answer(consumer) -> None:
    consumer._own._unsure = True


async def _note(consumer, delivery) -> None:
    consumer.note_started(delivery)


def _settlement(delivery) -> Settlement:
    return Settlement(delivery=delivery, result=a_result(delivery.message.task_id))
