"""What is revoked, in keys beside Celery's; and whether its workers may be running something."""

from __future__ import annotations

import time

import pytest

from celeriac.brokers.revocations import Revocation
from celeriac.testing.brokers import publish
from celeriac.testing.worlds import a_message
from celeriac.wire.envelope import write_envelope
from tests.unit.brokers.redis_world import RedisWorld

EXCHANGE = "celery.pidbox"
TABLE = f"_kombu.binding.{EXCHANGE}"
MAILBOX = "\x06\x16\x06\x16w1@shop.celery.pidbox"


@pytest.fixture
def world(redis_db):
    world = RedisWorld(redis_db)
    yield world
    world.end()


def revoke(broker, *ids):
    now = time.time()
    revocations = [Revocation(task_id=one, at=now, expires_at=now + 60) for one in ids]
    return broker.revoke(revocations, deadline_at=time.monotonic() + 10)


def test_what_workers_of_celery_have_not_acknowledged_is_claimed(world):
    broker, client = world.broker(), world.client()
    envelope = write_envelope(a_message("id-1"), delivery_tag="tag").decode()
    client.hset("unacked", "tag", f'[{envelope}, "", "q"]')
    client.hset("unacked", "other", "junk")

    assert broker.claimed(["id-1", "id-2"]) == {"id-1"}


def test_workers_of_celery_are_known_by_their_mailboxes(world):
    broker, client = world.broker(), world.client()
    before = broker.has_other_workers(EXCHANGE)
    client.sadd(TABLE, MAILBOX)

    assert not before
    assert broker.has_other_workers(EXCHANGE)
    assert not broker.has_other_workers("shop.pidbox")


@pytest.mark.parametrize(("left", "works"), [(60.0, True), (-1.0, False)])
def test_those_of_which_nobody_has_heard_for_long_have_gone(world, left, works):
    broker, client = world.broker(), world.client()
    client.sadd(TABLE, MAILBOX)
    client.zadd("_kombu.binding_deadlines", {EXCHANGE: time.time() + left})

    assert broker.has_other_workers(EXCHANGE) is works


def test_our_own_nodes_are_none_of_them(world):
    broker = world.broker()
    world.node(broker).look()

    assert not broker.has_other_workers(EXCHANGE)


def test_a_key_of_another_program_stops_no_claim(world):
    broker, client = world.broker(), world.client()
    node = world.node(broker)
    publish(broker, a_message("id-1"))
    client.rpush("celeriac:revoked:version", "not a number")

    claim = node.look()

    assert [one.message.task_id for one in claim.deliveries] == ["id-1"]
    assert claim.revocations == 0


def test_a_revocation_that_is_only_half_there_is_passed_over_and_made_whole(world):
    broker, client = world.broker(), world.client()
    revoke(broker, "a", "b")
    client.hdel("celeriac:revoked", "a")
    half = [one.task_id for one in broker.revocations().revocations]

    news = revoke(broker, "a", "b")

    assert (half, news) == (["b"], ["a"])
    assert sorted(one.task_id for one in broker.revocations().revocations) == ["a", "b"]


def test_it_is_revoked_on_a_full_server_too(world):
    broker, client = world.broker(), world.client()
    client.config_set("maxmemory", "1")
    client.config_set("maxmemory-policy", "noeviction")
    try:
        assert revoke(broker, "id-1") == ["id-1"]
    finally:
        client.config_set("maxmemory", "0")
