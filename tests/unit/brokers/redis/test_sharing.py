"""What the broker does for the sake of others on the same Redis: Celery's workers, and nodes that know other tasks."""

from __future__ import annotations

import time

import pytest

from celeriac.brokers.base import Incarnation, Release, ReleaseCause
from celeriac.message import Message
from tests.unit.brokers.redis_world import RedisWorld

BOUND = {b"celery\x06\x16\x06\x16celery"}


@pytest.fixture
def world(redis_db):
    world = RedisWorld(redis_db)
    yield world
    world.end()


@pytest.fixture
def broker(world):
    broker = world.make_broker()
    yield broker
    broker.close()


@pytest.fixture
def client(world):
    with world.client() as client:
        yield client


def message(task_id="i", *, queue="celery", **more):
    return Message(task_id=task_id, queue=queue, headers=b'{"task": "t", "id": "i"}', body=b"[[], {}, {}]", **more)


def publish(broker, *messages):
    broker.publish(messages, deadline_at=time.monotonic() + 5)


def test_a_queue_that_is_published_to_is_bound_as_kombu_binds_it(broker, client):
    publish(broker, message(), message(queue="slow"))

    assert client.smembers("_kombu.binding.celery") == client.smembers("_kombu.binding_permanent.celery") == BOUND
    assert client.smembers("_kombu.binding.slow") == {b"slow\x06\x16\x06\x16slow"}


async def test_a_queue_that_is_worked_on_is_bound_as_kombu_binds_it(broker, client):
    consumer = broker.consumer(Incarnation.begin("w@here"))
    await consumer.open()

    await consumer.claim(["celery", "slow"], limit=1, wait=0)

    await consumer.close()
    assert client.smembers("_kombu.binding.celery") == client.smembers("_kombu.binding_permanent.celery") == BOUND
    assert client.exists("_kombu.binding.slow", "_kombu.binding_permanent.slow") == 2


def test_a_binding_table_that_is_none_stops_nobody(broker, client):
    client.set("_kombu.binding.celery", "text")

    publish(broker, message())

    assert client.llen("celery") == 1
    assert client.get("_kombu.binding.celery") == b"text"


async def test_a_task_that_was_unknown_here_lies_open_to_others_before_it_is_claimed_again(world, broker, client):
    consumer = broker.consumer(Incarnation.begin("w@here"))
    await consumer.open()
    publish(broker, message())
    [delivery] = (await consumer.claim(["celery"], limit=1, wait=0)).deliveries
    due_at = time.time() + 5
    await consumer.release([Release(delivery=delivery, eta_at=due_at, cause=ReleaseCause.UNKNOWN_TASK)])
    world.advance(6)

    first = await consumer._claiming.look(["celery"], 1, everywhere=False)
    open_to_others = client.llen("celery")
    second = await consumer._claiming.look(["celery"], 1, everywhere=False)

    await consumer.close()
    assert (first.deliveries, first.stepped_back, open_to_others) == ([], True, 1)
    assert [one.releases for one in second.deliveries] == [1]


async def test_what_was_given_back_for_another_reason_is_claimed_as_it_becomes_due(world, broker, client):
    consumer = broker.consumer(Incarnation.begin("w@here"))
    await consumer.open()
    publish(broker, message())
    [delivery] = (await consumer.claim(["celery"], limit=1, wait=0)).deliveries
    await consumer.release([Release(delivery=delivery, eta_at=time.time() + 5, cause=ReleaseCause.CRASH)])
    world.advance(6)

    taken = await consumer._claiming.look(["celery"], 1, everywhere=False)

    await consumer.close()
    assert [one.crashes for one in taken.deliveries] == [1]
    assert taken.stepped_back is False


def test_upkeep_restores_what_celery_left(broker, client):
    publish(broker, message())
    envelope = client.rpop("celery").decode()
    client.hset("unacked", "tag", f'[{envelope}, "", "celery"]')
    client.zadd("unacked_index", {"tag": time.time() - 4000})

    cleaned = broker.clean()

    assert cleaned >= 1
    assert client.llen("celery") == 1
    assert client.exists("unacked", "unacked_index") == 0
