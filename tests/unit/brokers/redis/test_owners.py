from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers.redis import giving_back, settling
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured, LeaseLost
from celeriac.testing.brokers.suite import publish
from celeriac.testing.worlds import ANSWER_WITHIN, a_message, task_ids
from tests.unit.brokers.redis.looks import (
    KEYS,
    held_by,
    lose_an_answer,
    ours,
)

# -- owners (A1) ---------------------------------------------------------------------------------------------------


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


# -- leases (A4) ---------------------------------------------------------------------------------------------------


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


# -- one owner after another (A1, A3) ---------------------------------------------------------------------------


def begins_anew_after(consumer, name):
    """Have a node find out, right after a call of this name, that it must be a new owner; return what that claims."""
    own, ask, again = consumer._own, consumer._own.ask, []

    async def and_begin_anew(called, *args, **kwargs):
        answer = await ask(called, *args, **kwargs)
        if called == name:
            own.ask = ask
            await consumer.open()
            again.extend((await consumer.claim(["q"], limit=10, wait=0)).deliveries)
        return answer

    own.ask = and_begin_anew
    return again


def test_a_settlement_of_several_scripts_ends_nothing_that_the_next_owner_holds(world, client, monkeypatch):
    monkeypatch.setattr(settling, "BATCH_MAX", 1)
    broker = world.broker()
    publish(broker, a_message("a"), a_message("b"))
    node = world.node()
    held = node.claim()
    again = begins_anew_after(node.consumer, "settle")
    publish(broker, a_message("c"))

    refused = node.finish(*held)

    assert [one.delivery.message.task_id for one in refused] == ["b"]
    assert task_ids(again) == ["b", "c"]
    assert len(held_by(client, node)) == 2, "a tag of the former owner names another message by now"
    assert node.finish(*again) == []


def test_giving_back_in_several_scripts_gives_nothing_back_that_the_next_owner_holds(world, client, monkeypatch):
    monkeypatch.setattr(giving_back, "SHARE", 1)
    publish(world.broker(), a_message("a"), a_message("b"))
    node = world.node()
    held = node.claim()
    again = begins_anew_after(node.consumer, "release")

    node.release(*held)

    assert task_ids(again) == ["a", "b"]
    assert len(held_by(client, node)) == 2, "they run, and would run twice"


def test_a_claim_that_has_waited_for_an_epoch_takes_nothing_for_a_former_owner(world, client):
    publish(world.broker(), a_message())
    node = world.node()
    consumer, own = node.consumer, node.consumer._own

    async def claim_amid_another_beginning():
        own._unsure = True  # the answer to some call was lost
        async with own._adopting:
            claiming = asyncio.ensure_future(consumer.claim(["q"], limit=1, wait=0))
            await asyncio.sleep(0)
            await consumer.open()
        return await claiming

    with pytest.raises(LeaseLost):
        node.do(claim_amid_another_beginning())

    assert task_ids(node.claim()) == ["id-1"]
    assert len(held_by(client, node)) == 1


def test_what_an_owner_held_that_is_dead_is_passed_over_when_it_gives_it_back(world, client):
    publish(world.broker(), a_message())
    node, watcher = world.node(), world.node()
    held = node.claim()
    node.do(lose_an_answer(node.consumer))
    world.outlast_lease(watcher)

    node.release(*held)

    assert task_ids(watcher.claim()) == ["id-1"]
