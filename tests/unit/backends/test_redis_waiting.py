"""One subscription for all who wait in a process: what it costs, and that nobody is ever left waiting."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from bench.redis_server import RedisServer, free_port
from celeriac.backends.redis import RedisBackend, subscriber
from celeriac.backends.redis.line import Line
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import OperationalError
from celeriac.states import FAILURE, STARTED, SUCCESS
from celeriac.testing.worlds import ANSWER_WITHIN, a_result
from celeriac.wire.results import write_record
from tests.servers.certificates import make_certificates
from tests.servers.proxy import Way, proxy_to
from tests.servers.redis import started
from tests.size import scaled

__all__ = ["proxy_to"]

META = "celery-task-meta-"


def a_record(state=SUCCESS, task_id="id-1"):
    return write_record(task_id=task_id, state=state, result=5, date_done=None)


def backend_at(url):
    reading = read_options(read_place(url, "result_backend"), {}, setting="result_backend_transport_options")
    return RedisBackend(reading.place, reading.options)


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory):
    """Start a server whose channels and connections nobody else's tests have a part in."""
    server = started(RedisServer(tmp_path_factory.mktemp("redis")))
    yield server
    server.stop()


@pytest.fixture
def redis_db(quiet_server):
    with redis.Redis.from_url(quiet_server.url()) as client:
        client.flushall()
    return quiet_server.url()


@pytest.fixture(params=["", "?protocol=2"], ids=["protocol-3", "protocol-2"])
def query(request):
    return request.param


@pytest.fixture
def backend(redis_db, query):
    backend = backend_at(redis_db + query)
    yield backend
    backend.close()


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db, protocol=2) as client:
        yield client


@pytest.fixture
def threads():
    with ThreadPoolExecutor(40) as threads:
        yield threads


def until(condition, seconds=ANSWER_WITHIN):
    """Wait until something is so."""
    deadline_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline_at, "it did not come to be so"
        time.sleep(0.005)
    return found


def channels(client):
    return client.pubsub_channels(f"{META}*")


def subscriptions(client):
    """Return the connections that are subscribed to something."""
    return [one for one in client.client_list("pubsub") if one["sub"] != "0"]


def count(client, command):
    return client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)


def publish(client, task_id="id-1", state=SUCCESS, **options):
    """Keep a record as a stock worker does."""
    record = a_record(state, task_id)
    with client.pipeline() as pipeline:
        pipeline.set(META + task_id, record, ex=60).publish(META + task_id, record).execute()


# -- what it costs ----------------------------------------------------------------------------------------------


def test_threads_and_loops_share_one_connection(backend, client, threads):
    async def wait_for(*ids):
        waits = [backend.wait_async([one], timeout=ANSWER_WITHIN) for one in ids]
        return {id_ for found in await asyncio.gather(*waits) for id_ in found}

    waiting = [threads.submit(backend.wait, [f"t-{n}"], timeout=ANSWER_WITHIN) for n in range(20)]
    looping = threads.submit(lambda: asyncio.run(wait_for("l-1", "l-2")))
    until(lambda: len(channels(client)) == 22)

    connections = len(subscriptions(client))
    for task_id in [*(f"t-{n}" for n in range(20)), "l-1", "l-2"]:
        publish(client, task_id)

    assert connections == 1
    assert [set(one.result()) for one in waiting] == [{f"t-{n}"} for n in range(20)]
    assert looping.result() == {"l-1", "l-2"}


def test_coming_back_for_the_rest_subscribes_to_nothing_twice(backend, client):
    left = {f"id-{n}" for n in range(10_000)}
    assert backend.wait(left, timeout=0.05) == {}
    subscribed = until(lambda: len(channels(client)) == 10_000 and count(client, "subscribe"))
    looked = count(client, "mget")

    for start in range(0, 10_000, 1000):
        backend.store([a_result(f"id-{n}", record=a_record()) for n in range(start, start + 1000)])
        came: set[str] = set()
        while len(came) < 1000:
            came |= backend.wait(left - came, timeout=ANSWER_WITHIN).keys()
        left -= came

    assert left == set()
    assert count(client, "subscribe") - subscribed <= 2
    assert count(client, "mget") - looked <= 25  # a net looks now and then


def test_the_channel_of_an_end_is_left_soon(backend, client):
    for number in range(100):
        backend.store([a_result(f"id-{number}", record=a_record())])
        assert backend.wait([f"id-{number}"], timeout=ANSWER_WITHIN)

    until(lambda: channels(client) == [])


def test_the_channel_of_a_wait_that_was_given_up_is_left_soon(backend, client):
    def is_seen_after_a_wait():  # not after each: one may end before it is subscribed, or be left before the look
        assert backend.wait(["id-1"], timeout=0.01) == {}
        return channels(client) == [b"celery-task-meta-id-1"]

    until(is_seen_after_a_wait)

    until(lambda: channels(client) == [])


def test_a_result_that_comes_between_two_waits_is_there_at_the_second(backend, client):
    backend.wait(["id-1", "id-2"], timeout=0.05)
    publish(client, "id-1")
    publish(client, "id-2")

    assert backend.wait(["id-1"], timeout=ANSWER_WITHIN).keys() == {"id-1"}
    assert backend.wait(["id-2", "id-3"], timeout=ANSWER_WITHIN).keys() == {"id-2"}


def test_what_is_waited_for_again_and_something_new_are_both_returned(backend, client):
    backend.wait(["id-1"], timeout=0.05)
    publish(client, "id-1")
    publish(client, "new")
    time.sleep(0.05)

    assert backend.wait(["id-1", "new"], timeout=ANSWER_WITHIN).keys() == {"id-1", "new"}


def test_a_result_that_was_forgotten_between_two_waits_is_not_there(backend, client):
    backend.wait(["id-1"], timeout=0.05)
    publish(client)
    time.sleep(0.05)
    backend.forget(["id-1"])

    assert backend.wait(["id-1"], timeout=0.05) == {}


def test_a_connection_that_nobody_needs_is_closed_and_comes_back(backend, client, monkeypatch):
    monkeypatch.setattr(subscriber, "_IDLE", 0.1)
    assert backend.wait(["id-1"], timeout=0.01) == {}
    until(lambda: any("results" in one["name"] for one in client.client_list()))

    until(lambda: not any("results" in one["name"] for one in client.client_list()))
    publish(client)

    assert backend.wait(["id-1"], timeout=ANSWER_WITHIN)


def test_nothing_grows_with_the_results_that_were_there(backend, client):
    """Store, wait for and forget results in threads and loops, some after retries, some waits given up."""

    def use(number):
        task_id = f"id-{number}"
        gives_up, retries = number % 10 == 0, number % 3
        waiting = backend.wait if number % 2 else lambda *a, **k: asyncio.run(backend.wait_async(*a, **k))
        if gives_up:
            assert waiting([task_id], timeout=0.001) == {}
        backend.note([a_result(task_id, STARTED, record=a_record(STARTED), retries=retries)])
        backend.store([a_result(task_id, record=a_record(), retries=retries)])
        assert gives_up or waiting([task_id], timeout=ANSWER_WITHIN).keys() == {task_id}
        backend.forget([task_id])

    def census():
        return client.dbsize(), len(channels(client)), len(client.client_list()) - others

    others = len(client.client_list())  # with the one that asks, and what tests before this one left open
    total = scaled(20_000)
    counts = []
    with ThreadPoolExecutor(8) as users:
        for first in range(0, total, total // 4):
            list(users.map(use, range(first, first + total // 4)))
            until(lambda: not channels(client))
            counts.append(census())

    assert {keys for keys, _, _ in counts} == {0}
    assert max(connections for _, _, connections in counts) <= 8 + 2  # one a thread; listening, looking


# -- nobody is left waiting --------------------------------------------------------------------------------------


def test_what_stock_workers_store_ends_the_waiting(backend, client, threads):
    waiting = [threads.submit(backend.wait, [f"id-{n}"], timeout=ANSWER_WITHIN) for n in range(3)]
    until(lambda: len(channels(client)) == 3)
    publish(client, "id-0", STARTED)
    publish(client, "id-0")
    node = b'{"status":"SUCCESS","result":5,"traceback":5,"children":[],"task_id":"id-1"}'
    client.set(f"{META}id-1", node)
    client.publish(f"{META}id-1", node)
    client.publish(f"{META}id-2", b"garbage")  # as nobody does; what is kept counts
    publish(client, "id-2", FAILURE)

    assert [one.result()[f"id-{n}"].state for n, one in enumerate(waiting)] == [SUCCESS, SUCCESS, FAILURE]


def test_killing_the_subscription_again_and_again_leaves_nobody_waiting(backend, client, threads):
    ends = threading.Event()

    def kill():
        while not ends.wait(0.02):
            client.client_kill_filter(_type="pubsub")

    killing = threads.submit(kill)
    waiting = [threads.submit(backend.wait, [f"id-{n}"], timeout=ANSWER_WITHIN) for n in range(30)]
    for number in range(30):
        time.sleep(0.02)
        publish(client, f"id-{number}")

    assert [set(one.result(ANSWER_WITHIN)) for one in waiting] == [{f"id-{n}"} for n in range(30)]
    ends.set()
    killing.result()


def test_what_is_wanted_while_the_listener_sends_is_sent_after_it(backend, client, threads, monkeypatch):
    write = Line.write

    def slowly(line, packed):
        write(line, packed)
        if threading.current_thread().name == "celeriac results":
            time.sleep(0.2)

    monkeypatch.setattr(Line, "write", slowly)
    waiting = [threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)]
    until(lambda: channels(client))
    waiting.append(threads.submit(backend.wait, ["id-2"], timeout=ANSWER_WITHIN))

    until(lambda: len(channels(client)) == 2, seconds=ANSWER_WITHIN)
    for task_id in ("id-1", "id-2"):
        publish(client, task_id)
    assert all(one.result() for one in waiting)


def test_a_record_that_was_not_published_is_found_by_looking(backend, client, threads, monkeypatch):
    monkeypatch.setattr(subscriber, "_NET", 0.2)
    waiting = threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)
    until(lambda: channels(client))
    client.set(f"{META}id-1", a_record())

    assert waiting.result().keys() == {"id-1"}


def test_a_server_that_comes_back_is_asked_again(redis_server, threads, query):
    server = redis_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    backend = backend_at(server.url() + query)
    waiting = [threads.submit(backend.wait, [f"id-{n}"], timeout=ANSWER_WITHIN) for n in range(2)]
    looping = threads.submit(lambda: asyncio.run(backend.wait_async(["id-1"], timeout=ANSWER_WITHIN)))
    with redis.Redis.from_url(server.url()) as client:
        until(lambda: len(channels(client)) == 2)
        publish(client, "id-0")
    waiting[0].result()

    server.kill()
    time.sleep(0.3)
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        publish(client, "id-1")

    assert waiting[1].result().keys() == looping.result().keys() == {"id-1"}
    backend.close()


def test_waiting_begins_while_the_server_is_away(redis_server, threads, query):
    server = redis_server()
    backend = backend_at(server.url() + query)
    server.kill()
    waiting = threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)
    time.sleep(0.3)
    server.start()
    with redis.Redis.from_url(server.url()) as client:
        publish(client)

    assert waiting.result().keys() == {"id-1"}
    backend.close()


def test_whoever_waits_is_told_when_the_server_stays_away(redis_server, threads, monkeypatch):
    monkeypatch.setattr(subscriber, "_PATIENCE", 0.3)
    server = redis_server()
    backend = backend_at(server.url())
    waiting = threads.submit(backend.wait, ["id-1"], timeout=None)
    looping = threads.submit(lambda: asyncio.run(backend.wait_async(["id-1"], timeout=None)))
    with redis.Redis.from_url(server.url()) as client:
        until(lambda: channels(client))
    server.kill()

    for one in (waiting, looping):
        with pytest.raises(OperationalError, match=f"127.0.0.1:{server.port}"):
            one.result(ANSWER_WITHIN)


def test_a_wait_ends_in_time_while_the_server_is_away(redis_server):
    server = redis_server()
    backend = backend_at(server.url())
    server.kill()
    began_at = time.monotonic()

    assert backend.wait(["id-1"], timeout=0.3) == {}
    assert 0.3 <= time.monotonic() - began_at < 5.0


def test_a_wrong_password_is_told_at_once(redis_server):
    server = redis_server("--requirepass", "right", "--save", "")
    backend = backend_at(f"redis://:wrong@127.0.0.1:{server.port}/0")

    with pytest.raises(OperationalError, match="password"):
        backend.wait(["id-1"], timeout=ANSWER_WITHIN)


@pytest.mark.parametrize("ways", [(), (Way.DOWN,)], ids=["both ways", "down"])
def test_a_connection_on_which_nothing_passes_is_noticed(redis_server, proxy_to, threads, query, ways, monkeypatch):
    monkeypatch.setattr(subscriber, "_QUIET", 0.2)
    monkeypatch.setattr(subscriber, "_ANSWERS_WITHIN", 0.5)
    monkeypatch.setattr(subscriber, "_CONNECT_WITHIN", 0.5)
    server = redis_server()
    proxy = proxy_to(server.port)
    backend = backend_at(proxy.url() + query)
    waiting = threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)
    with redis.Redis.from_url(server.url()) as client:
        until(lambda: channels(client))
        proxy.black_hole(*ways)
        publish(client)
        before = proxy.accepted
        until(lambda: proxy.accepted > before)
        proxy.reset(client=False)  # what is under way gets lost, as when a machine has gone
        proxy.heal()

        assert waiting.result().keys() == {"id-1"}
    backend.close()


def test_a_subscription_that_nobody_answers_is_made_on_another_connection(
    redis_server, proxy_to, threads, query, monkeypatch
):
    monkeypatch.setattr(subscriber, "_ANSWERS_WITHIN", 0.5)
    monkeypatch.setattr(subscriber, "_CONNECT_WITHIN", 0.5)
    server = redis_server()
    proxy = proxy_to(server.port)
    backend = backend_at(proxy.url() + query)
    backend.wait(["other"], timeout=0.1)
    proxy.black_hole(Way.UP)
    waiting = threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)
    before = proxy.accepted
    until(lambda: proxy.accepted > before)
    proxy.reset(client=False)
    proxy.heal()
    with redis.Redis.from_url(server.url()) as client:
        publish(client)

        assert waiting.result().keys() == {"id-1"}
    backend.close()


def test_a_user_who_may_not_subscribe_asks_again_and_again(redis_server, threads, query, caplog):
    server = redis_server()
    with redis.Redis.from_url(server.url()) as client:
        client.execute_command("ACL", "SETUSER", "mute", "on", ">x", "~*", "+@all", "resetchannels")
        backend = backend_at(f"redis://mute:x@127.0.0.1:{server.port}/0{query}")
        waiting = threads.submit(backend.wait, ["id-1"], timeout=ANSWER_WITHIN)
        until(lambda: "ACL SETUSER" in caplog.text)
        publish(client)

        assert waiting.result().keys() == {"id-1"}
    backend.close()


def test_a_user_who_may_not_read_is_told(redis_server, query):
    server = redis_server()
    with redis.Redis.from_url(server.url()) as client:
        client.execute_command("ACL", "SETUSER", "blind", "on", ">x", "~other*", "&*", "+@all")
    backend = backend_at(f"redis://blind:x@127.0.0.1:{server.port}/0{query}")

    with pytest.raises(OperationalError, match="NOPERM"):
        backend.wait(["id-1"], timeout=ANSWER_WITHIN)


def test_results_large_and_small_come_by_tls(redis_server, threads, query, tmp_path):
    made = make_certificates(tmp_path)
    port = free_port()
    server = redis_server(
        *("--tls-port", str(port), "--tls-ca-cert-file", made.authority, "--tls-auth-clients", "no"),
        *("--tls-cert-file", made.certificate("server"), "--tls-key-file", made.key("server")),
    )
    backend = backend_at(f"rediss://localhost:{port}/0{query}{'&' if query else '?'}ssl_ca_certs={made.authority}")
    ids = [f"id-{n}" for n in range(200)]
    waiting = [threads.submit(backend.wait, ids[n::20], timeout=ANSWER_WITHIN) for n in range(20)]
    with redis.Redis.from_url(server.url()) as client:
        until(lambda: len(channels(client)) == 200)
        for number in range(20):
            record = write_record(
                task_id=ids[number], state=SUCCESS, result="x" * 100_000 * (number % 3), date_done=None
            )
            backend.store([a_result(ids[number], record=record)])
            client.client_kill_filter(_type="pubsub") if number % 7 == 6 else None

        assert [set(one.result()) for one in waiting] == [{one} for one in ids[:20]]
    backend.close()


# -- processes and greenlets -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 says so of threads
def test_parent_and_child_wait_on_connections_of_their_own(backend, client):
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(backend.wait, ["parent"], timeout=ANSWER_WITHIN)
        until(lambda: channels(client))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            found = b"failed"
            try:
                found = b",".join(one.encode() for one in backend.wait(["child"], timeout=ANSWER_WITHIN))
            finally:
                os.write(writing, found)
                os._exit(0)
        until(lambda: len(subscriptions(client)) == 2)
        publish(client, "child")
        publish(client, "parent")

        assert os.read(reading, 100) == b"child"
        assert waiting.result().keys() == {"parent"}
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_greenlets_wait_side_by_side(redis_db, query, client):
    program = """
        from gevent import monkey
        monkey.patch_all()
        import gevent, sys, time
        from tests.unit.backends.test_redis_waiting import backend_at

        backend = backend_at(sys.argv[1])
        ticks = []
        def tick():
            while True:
                ticks.append(1)
                gevent.sleep(0.01)
        gevent.spawn(tick)
        waiting = [gevent.spawn(backend.wait, [f"id-{n}"], timeout=30) for n in range(100)]
        print("waits", flush=True)
        gevent.joinall(waiting)
        print(sorted(one for found in waiting for one in found.value) == sorted(f"id-{n}" for n in range(100)))
        print(len(ticks) > 5, flush=True)
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), redis_db + query]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as greenlets:
        assert greenlets.stdout is not None
        assert greenlets.stdout.readline() == "waits\n"
        until(lambda: len(channels(client)) == 100)
        time.sleep(0.1)
        connections = len(subscriptions(client))
        for number in range(100):
            publish(client, f"id-{number}")
        assert greenlets.stdout.read() == "True\nTrue\n"

    assert connections == 1
