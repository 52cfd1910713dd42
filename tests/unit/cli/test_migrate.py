from __future__ import annotations

import sys
from types import ModuleType

import pytest
import redis

from celeriac.app.application import Celery
from celeriac.brokers.redis.records import make_record

MODULE = "shop_on_redis"


@pytest.mark.parametrize("words", [("migrate", "back"), ("queue", "undelay")])
def test_where_celery_reads_no_queues_there_is_no_way_back(command, shop, words):
    shop.call()

    run = command(*words, "--yes")

    assert run.code == 1
    assert "Celery does not read the queues of sqlite:///" in run.err
    assert shop.depths() == {"celery": (1, 0, 0, 0)}


def test_moving_from_one_broker_to_another_is_not_there(command, shop):
    run = command("migrate", "redis://one", "redis://two")

    assert run.code == 2
    assert "No such command" in run.err


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db, decode_responses=True) as client:
        yield client


@pytest.fixture
def shop_on_redis(command, monkeypatch, redis_db, client):
    """An app whose Redis has two future messages in it, of two queues, and a dead letter that no worker could read."""
    app = Celery("shop", broker=redis_db, set_as_current=False)
    module = ModuleType(MODULE)
    vars(module)["app"] = app
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setenv("CELERIAC_APP", MODULE)
    for index, queue in enumerate((b"celery", b"slow")):
        client.zadd("celeriac:delayed", {b"t%d:" % index + make_record(queue, b"message"): 4e9})
        client.hincrby("celeriac:delayed:counts", queue.decode(), 1)
    client.sadd("celeriac:queues", "celery", "slow")
    client.lpush("celery", "waits")
    client.set("celeriac:alive", "1")
    yield app
    app.close()


def test_the_way_back_shows_counts_and_asks(command, shop_on_redis, client):
    run = command("migrate", "back", answer="y\n")

    assert "celery: 1 delayed, 0 claimed, 0 dead" in run.err
    assert "slow: 1 delayed, 0 claimed, 0 dead" in run.err
    assert "Put 2 messages back into Celery's queues? [y/N]" in run.err
    assert (run.code, run.out) == (0, "Moved 2 messages: 2 delayed, 0 claimed, 0 dead.\n")
    assert client.lrange("celery", 0, -1) == ["message", "waits"]
    assert client.exists("celeriac:delayed", "celeriac:alive") == 0


@pytest.mark.parametrize("words", [("migrate", "back"), ("queue", "undelay")])
@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("", 2)])
def test_without_a_yes_nothing_is_moved(command, shop_on_redis, client, words, answer, code):
    run = command(*words, answer=answer)

    assert run.code == code
    assert client.zcard("celeriac:delayed") == 2
    assert client.exists("celeriac:alive") == 1


@pytest.mark.parametrize("words", [("migrate", "back"), ("queue", "undelay")])
def test_a_dry_run_moves_nothing(command, shop_on_redis, client, words):
    run = command(*words, "--dry-run", "--json")

    counts = run.document.get("would_undelay") or run.document["would_move"]
    assert sum(counts.values()) == 2
    assert client.zcard("celeriac:delayed") == 2


def test_future_messages_of_one_queue_are_given_back(command, shop_on_redis, client):
    run = command("queue", "undelay", "-Q", "slow", "--yes", "--json")

    assert run.document == {"undelayed": {"slow": 1}}
    assert client.zcard("celeriac:delayed") == 1
    assert client.llen("slow") == 1


def test_dead_letters_are_given_back_unless_they_are_to_stay(command, shop_on_redis, client):
    task_id = shop_on_redis.send_task("shop.pay", (1,), queue="mail").id
    raw = client.rpop("mail")
    client.hset("celeriac:dead", "1", b"1:51:r0:0:0:" + make_record(b"mail", raw.encode()))
    client.hset("celeriac:dead", "2", b"1:51:r0:0:0:" + make_record(b"mail", b"not to be read"))
    client.zadd("celeriac:dead:of:mail", {"1": 1, "2": 2})
    client.sadd("celeriac:queues", "mail")

    kept = command("migrate", "back", "--yes", "--json", "--without-dead-letters")
    moved = command("migrate", "back", "--yes", "--json")

    assert kept.document["moved"]["dead_letters"] == 0
    assert (moved.document["moved"]["dead_letters"], moved.document["left_unreadable"]) == (1, 1)
    assert "Left 1 dead letter that no worker could read" in moved.err
    assert [letter.number for letter in shop_on_redis.dead_letters.newest()] == [2]
    assert task_id in client.lindex("mail", 0)
