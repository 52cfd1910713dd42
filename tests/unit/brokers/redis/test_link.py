from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import redis

from celeriac.brokers.redis import session
from celeriac.brokers.redis.dialing import pack
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import BrokerFull, BrokerUnavailable, OperationalError
from celeriac.shelter import DEPTHS
from tests.servers.proxy import Way, proxy_to

__all__ = ["proxy_to"]


@dataclass
class Lua:
    text: str

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.text.encode()).hexdigest()


ADD = Lua("return redis.call('INCRBY', KEYS[1], ARGV[1])")
ONCE = Lua("""
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return redis.call('LPUSH', KEYS[2], ARGV[2])
""")


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


@contextmanager
def link_to(url: str) -> Iterator[Link]:
    link = Link(read_place(url, "broker_url"), RedisOptions())
    try:
        yield link
    finally:
        link.close()


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db) as client:
        yield client


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def link(redis_db, request):
    link = Link(read_place(redis_db, "broker_url"), RedisOptions(protocol=request.param))
    yield link
    link.close()


def test_answers_that_take_long_and_large_ones_come_whole_between_quick_ones(link):
    large = b"x" * 1_000_000

    for number in range(40):
        answers = link.pipeline(
            [("SET", "key", large), ("BLPOP", "nothing", "0.002"), ("GET", "key"), ("GET", "other")],
            deadline_at=soon(),
        )
        assert answers == [b"OK", None, large, None]
        assert link.call("INCR", "count", deadline_at=soon()) == number + 1


def test_a_wait_past_the_deadline_ends_with_it(link):
    link.call("PING", deadline_at=soon())

    with pytest.raises(BrokerUnavailable):
        link.call("BLPOP", "nothing", "30", deadline_at=soon(0.3))
    assert link.call("PING", deadline_at=soon()) == b"PONG"


def test_a_command_is_answered_in_bytes_and_numbers(link):
    link.call("SET", "key", b"\xff\x00", deadline_at=soon())

    assert link.call("GET", "key", deadline_at=soon()) == b"\xff\x00"
    assert link.call("GET", "other", deadline_at=soon()) is None
    assert link.call("INCRBY", "number", 7, deadline_at=soon()) == 7
    assert link.call("APPEND", "text", 1.5, deadline_at=soon()) == 3


def test_maps_and_sets_are_lists_in_both_protocols(link):
    link.call("HSET", "hash", "a", 1, "b", 2, deadline_at=soon())
    link.call("SADD", "set", "x", deadline_at=soon())

    assert link.call("HGETALL", "hash", deadline_at=soon()) == [b"a", b"1", b"b", b"2"]
    assert link.call("SMEMBERS", "set", deadline_at=soon()) == [b"x"]


def test_a_script_is_loaded_when_the_server_does_not_have_it(link, client):
    assert link.run(ADD, ["n"], [2], deadline_at=soon()) == 2
    client.script_flush()

    assert link.run(ADD, ["n"], [3], deadline_at=soon()) == 5
    assert client.script_exists(ADD.sha) == [True]


def test_a_pipeline_answers_each_command_in_order(link):
    commands = [("RPUSH", "list", number) for number in range(500)]

    assert link.pipeline([*commands, ("LLEN", "list")], deadline_at=soon()) == [*range(1, 501), 500]


def test_a_pipeline_of_nothing_is_answered_at_once(link):
    assert link.pipeline([], deadline_at=soon()) == []


def test_an_error_answer_is_raised_and_the_connection_goes_on(link, client):
    client.set("text", "no list")

    with pytest.raises(OperationalError, match="WRONGTYPE") as caught:
        link.call("LPUSH", "text", "x", deadline_at=soon())

    assert not isinstance(caught.value, BrokerUnavailable)
    connections = client.info("stats")["total_connections_received"]
    assert link.call("GET", "text", deadline_at=soon()) == b"no list"
    assert client.info("stats")["total_connections_received"] == connections


def test_a_full_server_raises_broker_full(redis_server):
    server = redis_server("--maxmemory", "1", "--save", "")
    link = Link(read_place(server.url(), "broker_url"), RedisOptions())

    with pytest.raises(BrokerFull, match="maxmemory"):
        link.call("SET", "key", "value", deadline_at=soon())


def test_a_connection_is_used_again_and_a_second_only_by_a_second_thread(link, client):
    before = client.info("stats")["total_connections_received"]
    for _ in range(20):
        link.call("PING", deadline_at=soon())
    alone = client.info("stats")["total_connections_received"]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: link.run(ADD, ["n"], [1], deadline_at=soon()), range(400)))

    assert alone - before == 1
    assert client.info("stats")["total_connections_received"] - alone <= 3
    assert client.get("n") == b"400"


def test_threads_wait_for_a_connection_when_there_may_be_only_one(redis_db, client):
    link = Link(read_place(redis_db, "broker_url"), RedisOptions(max_connections=1))
    before = client.info("stats")["total_connections_received"]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: link.run(ADD, ["n"], [1], deadline_at=soon()), range(200)))

    assert client.info("stats")["total_connections_received"] - before == 1
    assert client.get("n") == b"200"


def test_waiting_for_a_connection_ends_by_the_deadline(redis_db):
    link = Link(read_place(redis_db, "broker_url"), RedisOptions(max_connections=1))
    began = time.monotonic()

    with link.session(), pytest.raises(BrokerUnavailable, match="broker_pool_limit"):
        link.call("PING", deadline_at=soon(0.2))

    assert 0.15 < time.monotonic() - began < 3


def test_a_connection_that_the_server_closed_is_replaced(link, client):
    for _ in range(20):
        assert link.run(ADD, ["n"], [1], deadline_at=soon())
        client.client_kill_filter(_type="normal", skipme=True)

    assert client.get("n") == b"20"


def test_nobody_there_is_said_within_the_deadline(redis_server):
    server = redis_server()
    url = server.url()
    server.stop()
    link = Link(read_place(url, "broker_url"), RedisOptions())

    with pytest.raises(BrokerUnavailable, match="refused the connection") as caught:
        link.call("PING", deadline_at=soon())

    assert caught.value.maybe_published is False


def test_a_batch_is_stored_once_though_its_answer_was_lost(redis_server):
    server = redis_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    published = 0

    with redis.Redis.from_url(server.url()) as control, link_to(server.url()) as link:
        link.call("PING", deadline_at=soon())  # who connects for the first time asks more, and does not ask that again
        with link.session() as session:
            for number in range(30):
                killer = threading.Thread(target=control.client_kill_filter, kwargs={"_type": "normal", "skipme": True})
                killer.start()
                batch = session.next_number()
                session.run(ONCE, [f"sent:{session.producer}", "queue"], [batch, number], deadline_at=soon())
                published += 1
                killer.join()

        assert control.lrange("queue", 0, -1) == [str(number).encode() for number in reversed(range(30))]
    assert published == 30


def test_what_may_not_be_repeated_says_that_it_may_have_happened(redis_server):
    server = redis_server()
    with redis.Redis.from_url(server.url()) as control, link_to(server.url()) as link:
        link.call("PING", deadline_at=soon())

        control.client_pause(1_000)
        with pytest.raises(BrokerUnavailable, match="did not answer LPUSH") as caught:
            link.call("LPUSH", "list", 1, deadline_at=soon(0.2))

        assert caught.value.maybe_published is True


def test_a_forked_child_uses_connections_of_its_own_and_leaves_the_parents_alone(link, client):
    link.run(ADD, ["n"], [1], deadline_at=soon())
    own = link.call("CLIENT", "ID", deadline_at=soon())

    child = os.fork()
    if child == 0:
        code = 1
        try:
            other = link.call("CLIENT", "ID", deadline_at=soon())
            link.run(ADD, ["n"], [1], deadline_at=soon())
            link.close()
            code = 0 if other != own else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert link.call("CLIENT", "ID", deadline_at=soon()) == own
    assert client.get("n") == b"2"


def test_a_process_has_one_link_to_a_place(redis_db):
    place = read_place(redis_db, "broker_url")

    assert Link.at(place, RedisOptions()) is Link.at(read_place(redis_db, "result_backend"), RedisOptions())
    assert Link.at(place, RedisOptions()) is not Link.at(place, RedisOptions(protocol=3))


def test_an_idle_connection_that_was_forgotten_in_between_is_found_out_and_replaced(redis_server, proxy_to):
    proxy = proxy_to(redis_server().port)
    link = Link(read_place(proxy.url(), "broker_url"), RedisOptions(check_after=0.5))
    link.call("SET", "key", "value", deadline_at=soon())

    proxy.reset(client=False)  # the client's side stands, and nothing comes of it
    time.sleep(1.1)

    assert link.call("GET", "key", deadline_at=soon(5)) == b"value"
    assert proxy.accepted == 2


def test_closing_lets_go_of_idle_connections_and_the_next_call_opens_one(link, client):
    link.call("CLIENT", "SETNAME", "mine", deadline_at=soon())

    link.close()
    link.close()

    assert link.call("PING", deadline_at=soon()) == b"PONG"
    assert "mine" not in {one["name"] for one in client.client_list()}


def test_a_try_of_an_idle_connection_that_is_interrupted_leaves_no_answer_to_the_next_command(
    redis_server, proxy_to, monkeypatch
):
    proxy = proxy_to(redis_server().port)
    link = Link(read_place(proxy.url(), "broker_url"), RedisOptions(check_after=0.001))
    link.call("SET", "key", "value", deadline_at=soon())
    for idle in link._idle:
        idle.used_at -= 60
    proxy.delay(0.3, Way.DOWN)

    def interrupted(sock, words, deadline_at):
        sock.sendall(pack(words))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            link.call("GET", "key", deadline_at=soon())

    assert link.call("GET", "key", deadline_at=soon()) == b"value"
    link.close()


def test_no_body_is_interrupted_while_the_driver_writes_numbers(link, monkeypatch):
    """An exception of a signal's handler there ends the process: the driver takes no number for one that is none."""
    sheltered = []

    def packing(words):
        sheltered.append(threading.get_ident() in DEPTHS)
        return pack(words)

    monkeypatch.setattr(session, "pack", packing)

    link.call("SET", "key", 7, deadline_at=soon())
    link.pipeline([("INCRBY", "key", 2), ("GET", "key")], deadline_at=soon())

    assert sheltered == [True, True, True]
    assert DEPTHS == {}
