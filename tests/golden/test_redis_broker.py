"""Captured messages lie in Redis as Celery and celery-node put them there, and our broker takes and answers them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis

from celeriac.brokers.base import Incarnation, Release, Settlement
from celeriac.brokers.redis.broker import RedisBroker
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.wire.envelope import read_envelope
from tests.golden import vector
from tests.golden.test_redis_keys import MESSAGES, conf_of

# A time to come, which the node would wait for, and one without a zone, which is the app's business.
RUNNABLE = [name for name in MESSAGES if not name.startswith("task-eta-")]


def broker_for(url: str, name: str) -> RedisBroker:
    reading = read_options(read_place(url, "broker_url"), conf_of(name), setting="broker_transport_options")
    return RedisBroker(reading.place, reading.options)


def queue_of(envelope: dict[str, Any]) -> str:
    info = envelope["properties"]["delivery_info"]
    return info["routing_key"] if info["exchange"] == "" else "tq"


@pytest.mark.parametrize("name", RUNNABLE)
async def test_a_captured_message_is_claimed_given_back_byte_for_byte_and_settled(redis_db: str, name: str) -> None:
    found = vector.load(name)
    raw, key, queue = found["redis_raw"], found["redis_key"], queue_of(json.loads(found["redis_raw"]))
    broker = broker_for(redis_db, name)
    consumer = broker.consumer(Incarnation.begin("w@here"))
    with redis.Redis.from_url(redis_db, decode_responses=True) as client:
        client.lpush(key, raw)
        await consumer.open()

        [first] = (await consumer.claim([queue], limit=5, wait=0)).deliveries
        held = client.exists(key)
        await consumer.release([Release(delivery=first)])
        given_back = client.lrange(key, 0, -1)
        [second] = (await consumer.claim([queue], limit=5, wait=0)).deliveries
        refused = await consumer.settle([Settlement(delivery=second)], None)

        assert first.message == second.message == read_envelope(raw.encode(), queue=queue)
        assert (held, given_back, refused, client.exists(key)) == (0, [raw], [], 0)
        assert client.hlen(broker.keys.held(consumer.owner).decode()) == 0
        await consumer.close()
    broker.close()


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_captured_message_that_we_publish_again_is_the_same(redis_db: str, name: str) -> None:
    found = vector.load(name)
    envelope = json.loads(found["redis_raw"])
    queue = queue_of(envelope)
    broker = broker_for(redis_db, name)

    broker.publish([read_envelope(found["redis_raw"].encode(), queue=queue)], deadline_at=time.monotonic() + 5)

    with redis.Redis.from_url(redis_db, decode_responses=True) as client:
        [raw] = client.lrange(found["redis_key"], 0, -1)
    broker.close()
    ours = json.loads(raw)
    ours["properties"]["delivery_tag"] = envelope["properties"]["delivery_tag"]
    implied = {"priority": 0, "correlation_id": ours["properties"]["correlation_id"]}
    assert ours == envelope | {"properties": implied | envelope["properties"]}
