"""The bus among Celery's own: its workers answer us, its clients find us, and both sides hear each other's events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac.brokers.bus import Bus
from celeriac.brokers.redis.bus import RedisBus
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.topics import Topic
from celeriac.testing.buses import CONTROL, EVENTS, REPLIES, Ear, Operator, soon
from celeriac.wire.jsontypes import dumps
from celeriac.wire.notices import Notice
from tests.interop.fleet import CELERY, CELERY_5_3, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

OPTIONS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "with a prefix": {"global_keyprefix": "shop:"},
    "without patterns": {"fanout_patterns": False, "fanout_prefix": "/shop{db}."},
    "with other lists": {"priority_steps": list(range(10)), "sep": ":"},
}
PEERS = [(CELERY, options) for options in OPTIONS] + [(CELERY_5_3, "as they are")]


@pytest.fixture(params=PEERS, ids=[f"{kind.name}, {options}" for kind, options in PEERS])
def peer(request: pytest.FixtureRequest) -> tuple[Kind, dict[str, Any]]:
    """Give each Celery in turn, and transport options that all have."""
    kind, options = request.param
    return kind, OPTIONS[options]


@pytest.fixture
def kind(peer: tuple[Kind, dict[str, Any]]) -> Kind:
    return peer[0]


@pytest.fixture
def fleet(open_fleet: Callable[..., Fleet], peer: tuple[Kind, dict[str, Any]]) -> Iterator[Fleet]:
    """Give a test a fleet of its own that emits events."""
    made = open_fleet(broker_transport_options=peer[1], worker_send_task_events=True, task_send_sent_event=True)
    yield made
    made.close()


@pytest.fixture
def bus(fleet: Fleet, peer: tuple[Kind, dict[str, Any]]) -> Iterator[Bus]:
    place = read_place(fleet.environment["INTEROP_BROKER"], "broker_url")
    reading = read_options(place, peer[1], setting="broker_transport_options")
    assert not reading.without_effect
    bus = RedisBus(reading.place, reading.options)
    yield bus
    bus.close()


@pytest.fixture
def operator(bus: Bus) -> Iterator[Operator]:
    operator = Operator(bus)
    yield operator
    operator.stop()


def command(method: str, arguments: dict[str, Any] | None = None, **fields: Any) -> Notice:
    """Make a control command as Celery's clients do."""
    body = {"method": method, "arguments": arguments or {}, "destination": None, "pattern": None, "matcher": None}
    headers = {"clock": 1, "expires": time.time() + 10}
    return Notice(exchange=CONTROL, body=dumps(body | fields), headers=dumps(headers), persistent=True)


def ask(bus: Bus, method: str, arguments: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask all nodes, and return the first answer and its headers. A worker may listen later than it says."""
    with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        address = {"exchange": inbox.exchange, "routing_key": inbox.routing_key}
        question = command(method, arguments, ticket="ticket-1", reply_to=address)
        for _ in range(20):
            bus.broadcast([question], deadline_at=soon())
            for answer in inbox.collect(deadline_at=time.monotonic() + 1):
                return json.loads(answer.body), json.loads(answer.headers)
    pytest.fail(f"no answer to {method}")


def events_until(ear: Ear, kind: str) -> dict[str, dict[str, Any]]:
    """Hear until an event of that kind has come; return the last one of each kind."""
    found: dict[str, dict[str, Any]] = {}
    while kind not in found:
        for notice in ear.hear():
            said = json.loads(notice.body)
            found |= {one["type"]: one for one in (said if isinstance(said, list) else [said])}
    return found


@contextmanager
def repeated(bus: Bus, notice: Notice) -> Iterator[None]:
    """Say something again and again, for a listener of whom nobody knows when it has begun."""
    over = threading.Event()

    def say() -> None:
        while not over.wait(0.05):
            bus.broadcast([notice], deadline_at=soon())

    saying = threading.Thread(target=say)
    saying.start()
    try:
        yield
    finally:
        over.set()
        saying.join()


def test_a_worker_of_celery_answers_what_we_ask(fleet: Fleet, bus: Bus, kind: Kind) -> None:
    worker = fleet.start(kind, concurrency=1)

    answer, headers = ask(bus, "ping")
    failed, _ = ask(bus, "nonesuch")

    assert answer == {f"{kind.name}@shop": {"ok": "pong"}}
    assert headers["ticket"] == "ticket-1"
    assert "nonesuch" in failed[f"{kind.name}@shop"]["error"]
    worker.stop()
    assert [key for key in fleet.broker.scan_iter() if REPLIES in key] == []


def test_a_worker_of_celery_does_what_we_say(fleet: Fleet, bus: Bus, kind: Kind) -> None:
    fleet.start(kind, concurrency=1)
    ask(bus, "ping")

    bus.broadcast([command("revoke", {"task_id": "id-1"})], deadline_at=soon())
    wait_until(lambda: ask(bus, "revoked")[0] == {f"{kind.name}@shop": ["id-1"]})
    fleet.client(kind).run("noted.apply_async(('revoked',), task_id='id-1').id")

    assert fleet.record("id-1")["status"] == "REVOKED"
    assert fleet.ran("revoked") == []


def test_the_events_of_celerys_workers_and_clients_are_heard(fleet: Fleet, operator: Operator, kind: Kind) -> None:
    ear = operator.subscribe(Topic(EVENTS))
    worker = fleet.start(kind, "-E", concurrency=1)

    task_id = fleet.client(kind).run("add.delay(1, 2).id")
    heard = events_until(ear, "task-succeeded") | events_until(ear, "worker-heartbeat")
    worker.stop()
    heard |= events_until(ear, "worker-offline")

    kinds = {"worker-online", "worker-heartbeat", "worker-offline"}
    tasks = {"task-sent", "task-received", "task-started", "task-succeeded"}
    assert kinds | tasks <= heard.keys()
    assert {heard[one]["uuid"] for one in tasks} == {task_id}
    assert heard["task-succeeded"]["result"] == "3"
    assert ear.subscription.unreadable == ear.subscription.gaps == ear.subscription.dropped == 0


def test_a_listener_may_hear_workers_alone(fleet: Fleet, operator: Operator, kind: Kind) -> None:
    ear = operator.subscribe(Topic(EVENTS, "worker.#"))
    worker = fleet.start(kind, "-E", concurrency=1)

    fleet.client(kind).run("add.delay(1, 2).get(timeout=60)")
    worker.stop()

    assert all(kind.startswith("worker-") for kind in events_until(ear, "worker-offline"))


def test_our_events_are_heard_by_celerys_receivers(fleet: Fleet, bus: Bus, kind: Kind) -> None:
    event = {
        "hostname": "w1@ours", "utcoffset": 0, "pid": 1, "clock": 7, "timestamp": time.time(), "type": "worker-online",
        "freq": 2.0, "sw_ident": "py-celeriac", "sw_ver": "1", "sw_sys": "Linux",
    }  # fmt: skip
    notice = Notice(
        exchange=EVENTS, routing_key="worker.online", body=dumps(event), headers=dumps({"hostname": "w1@ours"})
    )

    with repeated(bus, notice):
        heard = fleet.client(kind).run(
            "(lambda seen: (app.events.Receiver(app.connection_for_read(), handlers={'*': seen.append})"
            ".capture(limit=5, timeout=10), seen)[1])([])"
        )

    assert {(one["hostname"], one["type"], one["sw_ident"]) for one in heard} == {
        ("w1@ours", "worker-online", "py-celeriac")
    }


def test_celerys_command_line_finds_who_answers_over_our_bus(fleet: Fleet, operator: Operator, kind: Kind) -> None:
    ear = operator.subscribe(Topic(CONTROL))

    async def answer() -> None:
        async for notice in ear.subscription:
            said = json.loads(notice.body)
            if said["method"] == "ping" and "reply_to" in said:
                reply = Notice(
                    **said["reply_to"],
                    body=dumps({"w1@ours": {"ok": "pong"}}),
                    headers=dumps({"ticket": said["ticket"], "clock": 2}),
                )
                await operator.station.reply([reply], deadline_at=soon())

    answering = operator.start(answer())
    told = fleet.command(kind, "inspect", "ping", "--json", "-t", "2")
    answering.cancel()

    assert json.loads(told.stdout.splitlines()[0]) == {"w1@ours": {"ok": "pong"}}
    assert [key for key in fleet.broker.scan_iter() if REPLIES in key] == []
