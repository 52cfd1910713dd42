"""The sweep over what stock workers have not acknowledged: what goes where, and what stays."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.redis.restoring import SHARE, Restorer

HOUR = 3600.0


@pytest.fixture
def client(redis_db: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_db, decode_responses=True) as client:
        yield client


@pytest.fixture
def make(redis_db: str) -> Iterator[Any]:
    links = []

    def make_restorer(**options: Any) -> Restorer:
        said = RedisOptions(**options)
        link = Link(read_place(redis_db, "broker_url"), said)
        links.append(link)
        return Restorer(lambda: link, Keys(said.global_keyprefix, separator=said.sep, steps=said.priority_steps), said)

    yield make_restorer
    for link in links:
        link.close()


def envelope(tag: str, *, priority: Any = 0, routing_key: str = "celery", exchange: str = "") -> dict[str, Any]:
    info = {"exchange": exchange, "routing_key": routing_key}
    properties = {"delivery_tag": tag, "priority": priority, "delivery_info": info, "body_encoding": "base64"}
    return {"body": "e30=", "headers": {"id": tag, "n": 2**70}, "properties": properties, "content-type": "x"}


def hold(client: redis.Redis, tag: str, *, age: float = 2 * HOUR, value: str | None = None, **more: Any) -> None:
    """Let a stock worker have taken a message a while ago."""
    found = envelope(tag, **more)
    info = found["properties"]["delivery_info"]
    client.zadd("unacked_index", {tag: time.time() - age})
    client.hset("unacked", tag, value or json.dumps([found, info["exchange"], info["routing_key"]]))


def tags(client: redis.Redis, key: str) -> list[str]:
    """Return the messages of a list in the order in which they will be served."""
    return [json.loads(text)["properties"]["delivery_tag"] for text in reversed(client.lrange(key, 0, -1))]


def test_the_overdue_are_put_in_front_the_oldest_first(client: redis.Redis, make: Any) -> None:
    client.lpush("celery", json.dumps(envelope("waiting")))
    for index in range(3):
        hold(client, f"held-{index}", age=2 * HOUR - index)
    hold(client, "fresh", age=HOUR - 60)

    restored = make().restore()

    assert restored == 3
    assert tags(client, "celery") == ["held-0", "held-1", "held-2", "waiting"]
    assert client.hkeys("unacked") == client.zrange("unacked_index", 0, -1) == ["fresh"]
    assert client.exists("unacked_mutex") == 0


def test_they_say_that_they_were_delivered_before_and_are_else_as_they_were(client: redis.Redis, make: Any) -> None:
    hold(client, "held")

    make().restore()

    expected = envelope("held")
    expected["headers"]["redelivered"] = expected["properties"]["delivery_info"]["redelivered"] = True
    assert [json.loads(text) for text in client.lrange("celery", 0, -1)] == [expected]


@pytest.mark.parametrize(
    ("priority", "key"),
    [
        (0, "celery"),
        (4, "celery\x06\x163"),
        (255, "celery\x06\x169"),
        (-1, "celery"),
        ("x", "celery"),
        (None, "celery"),
    ],
)
def test_each_goes_to_the_list_of_its_priority(client: redis.Redis, make: Any, priority: Any, key: str) -> None:
    hold(client, "held", priority=priority)

    make().restore()

    assert tags(client, key) == ["held"]


def test_an_exchange_is_followed_through_its_table(client: redis.Redis, make: Any) -> None:
    client.sadd("_kombu.binding.ex", "key\x06\x16\x06\x16one", "other\x06\x16\x06\x16two")
    hold(client, "held", exchange="ex", routing_key="key")

    make().restore()

    assert tags(client, "one") == ["held"]
    assert client.exists("two", "key") == 0


def test_many_keep_their_order_over_several_shares(client: redis.Redis, make: Any) -> None:
    count = 2 * SHARE + 7
    for index in range(count):
        hold(client, f"held-{index:03}", age=3 * HOUR - index)
    restorer = make()

    shares = [restorer.restore() for _ in range(4)]

    assert shares == [SHARE, SHARE, 7, 0]
    assert tags(client, "celery") == [f"held-{index:03}" for index in range(count)]


@pytest.mark.parametrize(
    "value",
    [
        "no JSON",
        "[]",
        json.dumps([{"properties": {}}, "", "celery"]),
        json.dumps([envelope("x"), "nowhere", "key"]),
        json.dumps([envelope("x"), "", 5]),
    ],
)
def test_what_cannot_be_put_back_stays_and_is_told_once(
    client: redis.Redis, make: Any, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    hold(client, "bad", value=value, age=1.5 * HOUR)
    hold(client, "good")
    restorer = make()

    with caplog.at_level(logging.WARNING):
        restored = [restorer.restore(), restorer.restore()]

    assert restored == [1, 0]
    assert client.hkeys("unacked") == ["bad"]
    assert [record.levelname for record in caplog.records if "bad" in record.getMessage()] == ["ERROR"]


def test_a_list_that_is_none_costs_nobody_else_and_doubles_nothing(client: redis.Redis, make: Any) -> None:
    client.set("wrong", "text")
    client.sadd("_kombu.binding.ex", "key\x06\x16\x06\x16fine", "key\x06\x16\x06\x16wrong")
    hold(client, "half", exchange="ex", routing_key="key")
    hold(client, "good")
    restorer = make()

    restored = [restorer.restore(), restorer.restore()]

    assert restored == [1, 0]
    assert client.exists("fine") == 0
    assert client.hkeys("unacked") == ["half"]


def test_nothing_is_done_while_somebody_else_is_at_it(client: redis.Redis, make: Any) -> None:
    hold(client, "held")
    client.set("unacked_mutex", "theirs", px=300_000)

    restored = make().restore()

    assert restored == 0
    assert client.get("unacked_mutex") == "theirs"
    assert client.exists("celery") == 0


def test_a_message_that_was_taken_anew_meanwhile_is_left_alone(client: redis.Redis, make: Any) -> None:
    hold(client, "held")
    restorer = make()
    [seen] = restorer._overdue(most=1)
    client.zadd("unacked_index", {"held": time.time()})

    restorer._restore([seen])

    assert client.exists("celery") == 0
    assert client.hkeys("unacked") == ["held"]


def test_what_was_acknowledged_by_half_leaves_the_index(client: redis.Redis, make: Any) -> None:
    client.zadd("unacked_index", {"gone": 1.0})

    restored = make().restore()

    assert restored == 0
    assert client.exists("unacked_index") == 0


def test_options_name_keys_timeout_and_prefix(client: redis.Redis, make: Any) -> None:
    client.zadd("pfx:ui", {"held": time.time() - 10})
    client.hset("pfx:u", "held", json.dumps([envelope("held", priority=1), "", "celery"]))
    names = {"unacked_key": "u", "unacked_index_key": "ui", "unacked_mutex_key": "um"}

    restored = make(
        **names, visibility_timeout=5.0, global_keyprefix="pfx:", sep=":", priority_steps=(0, 1, 2)
    ).restore()

    assert restored == 1
    assert tags(client, "pfx:celery:1") == ["held"]


def test_a_full_server_takes_them_back(redis_server: Any) -> None:
    server = redis_server("--save", "", "--maxmemory-policy", "noeviction")
    with redis.Redis.from_url(server.url(), decode_responses=True) as full:
        hold(full, "held")
        full.config_set("maxmemory", 1)
        options = RedisOptions()
        link = Link(read_place(server.url(), "broker_url"), options)
        restorer = Restorer(lambda: link, Keys(), options)

        restored = restorer.restore()

        link.close()
        full.config_set("maxmemory", 0)
        assert restored == 1
        assert tags(full, "celery") == ["held"]
        assert full.exists("unacked_mutex") == 0
