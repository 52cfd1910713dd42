from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerUnavailable, OperationalError
from tests.servers.fakes import OK, fake_redis, logged_in
from tests.unit.brokers.redis.test_link import ADD


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        yield client


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
async def link(redis_db, request):
    link = AsyncLink(read_place(redis_db, "broker_url"), RedisOptions(protocol=request.param), name="w1@host")
    yield link
    await link.close()


async def test_commands_and_scripts_are_answered_and_errors_raised(link, client):
    client.hset("hash", "a", "1")

    assert await link.run(ADD, ["n"], [2], timeout=30) == 2
    assert await link.call("HGETALL", "hash", timeout=30) == [b"a", b"1"]
    with pytest.raises(OperationalError, match="WRONGTYPE"):
        await link.call("LPUSH", "hash", "x", timeout=30)
    assert await link.run(ADD, ["n"], [2], timeout=30) == 4
    assert link.epoch == 1


async def test_people_find_the_connection_by_the_name_of_its_node(link, client):
    await link.call("PING", timeout=30)

    assert "w1@host" in {one["name"] for one in client.client_list()}


async def test_calls_take_turns(link, client):
    answers = await asyncio.gather(*(link.run(ADD, ["n"], [1], timeout=30) for _ in range(200)))

    assert answers == list(range(1, 201))
    assert link.epoch == 1


async def test_an_answer_that_came_too_late_is_never_read_by_another_command(link, client):
    await link.call("PING", timeout=30)

    client.client_pause(300)
    with pytest.raises(BrokerUnavailable, match="did not answer ECHO") as caught:
        await link.call("ECHO", "late", timeout=0.05)

    assert caught.value.maybe_published
    assert await link.call("ECHO", "next", timeout=30) == b"next"
    assert link.epoch == 2


async def test_a_cancelled_command_closes_the_connection_and_nobody_elses_turn(link, client):
    await link.call("PING", timeout=30)
    client.client_pause(200)
    first = asyncio.create_task(link.call("ECHO", "first", timeout=30))
    waiting = asyncio.create_task(link.call("ECHO", "waiting", timeout=30))
    await asyncio.sleep(0.02)

    waiting.cancel()
    assert await first == b"first"
    assert link.epoch == 1

    client.client_pause(200)
    second = asyncio.create_task(link.call("ECHO", "second", timeout=30))
    await asyncio.sleep(0.02)
    second.cancel()
    assert await link.call("ECHO", "third", timeout=30) == b"third"
    assert link.epoch == 2


async def test_who_comes_between_two_turns_waits_for_the_next_and_connects_if_need_be(link):
    await link.call("PING", timeout=30)

    async def pause_and_ask_at_once() -> object:
        await link.call("CLIENT", "PAUSE", 300, timeout=30)
        return await link.call("ECHO", "third", timeout=30)  # the turn is the second's, who has not gone on yet

    third = asyncio.create_task(pause_and_ask_at_once())
    await asyncio.sleep(0)
    with pytest.raises(BrokerUnavailable):
        await link.call("ECHO", "second", timeout=0.1)

    assert await third == b"third"


async def test_a_connection_that_broke_is_said_and_the_next_call_has_another(link, client):
    await link.call("PING", timeout=30)
    client.client_kill_filter(_type="normal", skipme=True)

    with pytest.raises(BrokerUnavailable):
        await link.call("PING", timeout=30)

    assert await link.call("PING", timeout=30) == b"PONG"
    assert link.epoch == 2


async def test_an_answer_that_nobody_has_asked_for_is_never_read_by_another_command():
    with fake_redis(logged_in(lambda words: OK + OK if words[0] == b"PING" else b"+its own\r\n")) as port:
        link = AsyncLink(read_place(f"redis://127.0.0.1:{port}", "broker_url"), RedisOptions(), name="w1@host")

        assert await link.call("PING", timeout=30) == b"OK"
        with pytest.raises(BrokerUnavailable):
            await link.call("ECHO", timeout=30)

        assert await link.call("ECHO", timeout=30) == b"its own"
        assert link.epoch == 2
        await link.close()


def test_a_connection_that_was_closed_just_now_is_an_outage_and_no_error_of_what_was_sent(redis_db):
    """Else a node would take it for the refusal of an outcome, and store a failure in its place."""
    uvloop = pytest.importorskip("uvloop")

    async def use() -> None:
        link = AsyncLink(read_place(redis_db, "broker_url"), RedisOptions(), name="w1@host")
        await link.call("PING", timeout=30)
        closed: Any = link._line
        closed._transport.abort()
        await asyncio.sleep(0.01)
        with pytest.raises(BrokerUnavailable):
            await link.call("PING", timeout=30)
        assert await link.call("PING", timeout=30) == b"PONG"
        await link.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())
