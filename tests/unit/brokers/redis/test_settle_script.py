from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.scripts import script

OWNER = "7"
KEYS = Keys()
RECORD = b'{"status": "SUCCESS", "result": 3}'
DAY_MS = 86_400_000


@pytest.fixture
def client(redis_db: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_db) as client:
        client.hset(KEYS.epochs, OWNER, "1")
        client.hset(KEYS.held(7), mapping={str(tag): b"1:qmessage" for tag in (1, 2, 3)})
        yield client


def settle(client: Any, *tags: int) -> tuple[list[int], list[Any]]:
    """End claims; of each a result `r<tag>` is stored and a message `follows <tag>` published to `next<tag>`."""
    keys, texts, plan = [KEYS.epochs, KEYS.held(7), KEYS.started(7), KEYS.counts], [RECORD], []
    keys += [KEYS.delayed, KEYS.delayed_counts, KEYS.dead, KEYS.dead_last, KEYS.queues]
    keys += [KEYS.replaced, KEYS.unique_in_use, KEYS.bookings]
    for tag in tags:
        keys += [f"r{tag}".encode(), f"a{tag}".encode(), f"next{tag}".encode()]
        texts.append(f"follows {tag}".encode())
        result = [len(keys) - 2, len(keys) - 1, 10, "SUCCESS", 0, DAY_MS]
        plan.append([tag, 0, result, [[len(keys), 9 + len(texts), 0, "", 0]], 0])
    arguments = [OWNER, "1", "0", "", "", "", "", msgspec.msgpack.encode(plan), "", *texts]
    done, *more = client.eval(script("settle").text, len(keys), *keys, *arguments)
    assert done == 0
    return more[0], more[1]


def test_claims_end_with_their_results_and_with_what_follows(client):
    assert settle(client, 1, 2) == ([], [])

    assert client.hkeys(KEYS.held(7)) == [b"3"]
    assert [client.get(f"r{tag}") for tag in (1, 2)] == [RECORD, RECORD]
    assert [client.lrange(f"next{tag}", 0, -1) for tag in (1, 2)] == [[b"follows 1"], [b"follows 2"]]


def test_a_claim_whose_result_cannot_be_stored_publishes_nothing_however_often_it_is_tried(client):
    client.lpush("r2", "a list, and no result")

    for _ in range(3):
        refused, failed = settle(client, 2)
        assert (refused, failed[0]) == ([], 1)

    assert not client.exists("next2")
    assert client.hexists(KEYS.held(7), "2")


def test_a_claim_whose_followers_cannot_be_published_stores_nothing_and_its_neighbours_go_on(client):
    client.set("next2", "a text, and no list")

    refused, failed = settle(client, 1, 2, 3)

    assert (refused, failed[0]) == ([], 2)
    assert b"WRONGTYPE the key next2 holds a string" in failed[1]
    assert not client.exists("r2")
    assert client.hkeys(KEYS.held(7)) == [b"2"]
    assert [client.llen(f"next{tag}") for tag in (1, 3)] == [1, 1]


def test_what_is_settled_twice_is_refused_the_second_time(client):
    settle(client, 1)

    assert settle(client, 1, 2, 2) == ([1, 3], [])

    assert [client.llen(f"next{tag}") for tag in (1, 2)] == [1, 1]


def test_a_full_server_settles(client):
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    try:
        assert settle(client, 1) == ([], [])
    finally:
        client.config_set("maxmemory", 0)
