from __future__ import annotations

import asyncio
import base64
import os
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import amqp
import msgspec
import pytest

from celeriac.backends.base import StoredResult
from celeriac.backends.rpc import RpcBackend
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.base import ResultMeta
from celeriac.exceptions import BrokerUnavailable, OperationalError
from celeriac.states import FAILURE, STARTED, SUCCESS
from celeriac.wire.told import told_state
from tests.golden import vector
from tests.servers.proxy import proxy_to
from tests.tables_by_hand import HOSTILE, Raw

__all__ = ["proxy_to"]

PATIENCE = 20.0
TOLD_STATE = "celeriac.backends.rpc.replies.told_state"


@pytest.fixture
def backend(amqp_url):
    backend = RpcBackend(
        read_place(amqp_url, "broker_url"),
        AmqpOptions(),
        expires=3600.0,
        persistent=False,
        content_type="application/json",
    )
    yield backend
    backend.close()


def an_answer(
    backend: RpcBackend, task_id: str, state: str = SUCCESS, *, correlation_id: str | None = None
) -> ResultMeta:
    record = b'{"status": "%s", "result": 5, "task_id": "%s"}' % (state.encode(), task_id.encode())
    reply_to = backend.answers_to()
    return ResultMeta(task_id=task_id, state=state, record=record, reply_to=reply_to, correlation_id=correlation_id)


def test_an_answer_comes_to_whoever_has_called(backend):
    answer = an_answer(backend, "id-1")
    assert backend.get("id-1") is None

    backend.store([answer, an_answer(backend, "id-2", FAILURE)])

    assert backend.wait(["id-1"], timeout=PATIENCE)["id-1"].record == answer.record
    found = backend.wait(["id-2"], timeout=PATIENCE)["id-2"]
    assert found.state == FAILURE


def test_states_on_the_way_are_seen_and_end_no_wait(backend):
    backend.note([an_answer(backend, "id-1", "PROGRESS")])
    backend.store([an_answer(backend, "last")])
    backend.wait(["last"], timeout=PATIENCE)

    found = backend.get("id-1")

    assert found is not None
    assert found.state == "PROGRESS"
    assert backend.wait(["id-1"], timeout=0.01) == {}


def test_a_late_word_of_a_run_that_has_ended_changes_nothing(backend):
    backend.store([an_answer(backend, "id-1")])
    backend.note([an_answer(backend, "id-1", STARTED)])
    backend.store([an_answer(backend, "last")])

    backend.wait(["last"], timeout=PATIENCE)

    assert backend.get("id-1").state == SUCCESS


def test_answers_are_known_by_the_name_that_the_call_gave_them(backend):
    backend.store([an_answer(backend, "id-1", correlation_id="mine")])

    assert backend.wait(["mine"], timeout=PATIENCE).keys() == {"mine"}


def test_what_nobody_asked_for_is_sent_to_nobody(backend):
    backend.store([ResultMeta(task_id="id-1", state=SUCCESS, record=b"{}")])
    backend.store([ResultMeta(task_id="id-2", state=SUCCESS, record=b"{}", reply_to="gone")])


@pytest.mark.parametrize("table", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_with_headers_that_nobody_can_read_is_left_out(backend, caplog, table):
    with amqp.Connection(backend.place.endpoints[0].address, virtual_host=backend.place.virtual_host) as connection:
        hostile = Raw(b'{"status": "SUCCESS"}', table, correlation_id="id-1")
        connection.channel().basic_publish(hostile, "", backend.answers_to())

    backend.store([an_answer(backend, "last")])

    assert backend.wait(["last"], timeout=PATIENCE).keys() == {"last"}
    assert backend.get("id-1") is None
    assert "left out an answer whose headers cannot be read" in caplog.text


def test_an_answer_that_nobody_has_thought_of_ends_no_hearing(backend, caplog, monkeypatch):
    def break_once(body):
        monkeypatch.setattr(TOLD_STATE, told_state)
        raise ZeroDivisionError("nobody thought of it")

    backend.answers_to()
    monkeypatch.setattr(TOLD_STATE, break_once)

    backend.store([an_answer(backend, "strange")])
    found: dict[str, StoredResult] = {}
    for _ in range(20):  # what is on its way to the connection that ends is lost with it
        backend.store([an_answer(backend, "id-1")])
        found = backend.wait(["id-1"], timeout=1.0)
        if found:
            break

    assert found.keys() == {"id-1"}
    assert "nobody thought of it" in caplog.text


def test_forgotten_answers_are_gone(backend):
    backend.store([an_answer(backend, "id-1")])
    backend.wait(["id-1"], timeout=PATIENCE)

    backend.forget(["id-1", "unknown"])

    assert backend.get("id-1") is None


async def test_coroutines_wait_together(backend):
    waiting = [asyncio.create_task(backend.wait_async([f"id-{n}"], timeout=PATIENCE)) for n in range(5)]
    await asyncio.sleep(0)

    await asyncio.to_thread(backend.store, [an_answer(backend, f"id-{n}") for n in range(5)])

    assert [list(found) for found in await asyncio.gather(*waiting)] == [[f"id-{n}"] for n in range(5)]


def test_two_backends_of_one_process_have_one_queue(backend, amqp_url):
    other = RpcBackend(
        read_place(amqp_url, "broker_url"),
        AmqpOptions(),
        expires=None,
        persistent=True,
        content_type="application/json",
    )

    assert other.answers_to() == backend.answers_to()


def test_a_forked_child_has_a_queue_of_its_own(backend):
    before = backend.answers_to()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, backend.answers_to().encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    told = os.read(reading, 100).decode()
    os.close(reading)
    os.close(writing)

    assert told
    assert told != before
    assert backend.answers_to() == before


@pytest.fixture
def proxied(amqp_url, proxy_to):
    """Give what listens for answers over a proxy, and the proxy."""
    where = urlsplit(amqp_url)
    proxy = proxy_to(where.port)
    place = read_place(f"amqp://guest:guest@127.0.0.1:{proxy.port}{where.path}", "broker_url")
    return proxy, RpcBackend(place, AmqpOptions(), expires=None, persistent=False, content_type="application/json")


def test_threads_that_call_while_there_is_no_answer_wait_together_and_not_for_each_other(proxied):
    proxy, caller = proxied
    proxy.black_hole()
    began_at = time.monotonic()

    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(caller.answers_to) for _ in range(8)]
        for one in asking:
            assert isinstance(one.exception(), BrokerUnavailable)
    took = time.monotonic() - began_at

    assert took < 15.0, "each waits for 3 s"
    proxy.heal()
    assert caller.answers_to()


def test_answers_wait_while_the_connection_of_their_caller_is_away(backend, proxied):
    proxy, caller = proxied
    name = caller.answers_to()
    proxy.refuse()
    while consumers_of(backend, name):
        time.sleep(0.01)

    backend.store([msgspec.structs.replace(an_answer(backend, "id-1"), reply_to=name)])
    proxy.heal()

    assert caller.wait(["id-1"], timeout=PATIENCE).keys() == {"id-1"}


def test_answers_come_to_a_new_connection_beside_one_that_the_server_believes_to_be_there(backend, proxied):
    proxy, caller = proxied
    name = caller.answers_to()
    proxy.reset(server=False)
    while consumers_of(backend, name) < 2:
        time.sleep(0.01)

    ids = {f"id-{number}" for number in range(10)}
    backend.store([msgspec.structs.replace(an_answer(backend, each), reply_to=name) for each in sorted(ids)])

    for each in ids:
        assert caller.wait([each], timeout=PATIENCE).keys() == {each}


def consumers_of(backend: RpcBackend, queue: str) -> int:
    where = backend.place
    with amqp.Connection(where.endpoints[0].address, virtual_host=where.virtual_host) as driver:
        return driver.channel().queue_declare(queue, passive=True).consumer_count


def test_who_may_not_have_a_queue_for_answers_is_told_so(amqp_url, rabbitmq):
    host = read_place(amqp_url, "broker_url").virtual_host
    poor = host.replace("-", "")
    rabbitmq.server.ctl("add_user", poor, poor)
    rabbitmq.server.ctl("set_permissions", "-p", host, poor, "^$", ".*", ".*")
    place = read_place(amqp_url.replace("guest:guest", f"{poor}:{poor}"), "broker_url")
    other = RpcBackend(place, AmqpOptions(), expires=None, persistent=False, content_type="application/json")

    with pytest.raises(OperationalError, match=r"refuses opening a queue for answers.*ACCESS_REFUSED"):
        other.answers_to()

    rabbitmq.server.ctl("delete_user", poor)


ANSWERS = [
    name
    for kind in ("success", "failure", "progress", "group")
    for name in vector.names(f"amqp-rpc-result-{kind}")
    if "task" not in vector.load(name)["amqp"]["headers"]  # the call itself stands beside some
]


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_celery_are_read_and_ours_are_like_them(backend, name):
    sent = vector.load(name)["amqp"]
    body = base64.b64decode(sent["body_base64"])
    told = sent["properties"]
    answer = ResultMeta(
        task_id=told["correlation_id"], state="", record=body, reply_to=sent["routing_key"], correlation_id=None
    )

    outgoing = backend.answer(answer)

    assert (outgoing.exchange, outgoing.key) == (sent["exchange"], sent["routing_key"])
    assert outgoing.carried.properties == told
    assert outgoing.carried.body == body
