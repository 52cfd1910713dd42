"""Control commands against captures: our client says what Celery's says, and our node answers what its workers do."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from celeriac import Celery
from celeriac.app.control import Control
from celeriac.brokers.topics import Topic
from celeriac.testing import start_worker
from celeriac.wire.control import Command, read_command
from tests.golden import vector

NODE = "w1@host1"
numbers = itertools.count()
CALLED = [name for name in vector.names("control-") if vector.load(name).get("call")]
ANSWERED = [name for name in CALLED if vector.load(name).get("reply")]

OTHERWISE = {
    "control-autoscale-ok": "threads of a test cannot become more; tests/integration/test_autoscale.py has it",
    "control-inspect-stats-autoscale": "likewise",
    "control-pool-grow-autoscale": "likewise",
    "control-pool-grow": "threads of a test cannot become more; tests/integration/test_control.py has it",
    "control-pool-shrink": "likewise",
    "control-pool-restart-ok": "likewise",
    "control-inspect-memsample": "psutil was missing where this was captured",
    "control-inspect-memdump": "likewise",
    "control-inspect-scheduled": "of tasks that were sent before",
    "control-inspect-report": "it is about celeriac here",
    "control-inspect-revoked": "of ids that were revoked before",
    "control-inspect-hello": "likewise",
    "control-inspect-query-task": "of a task that waits for its time in the node",
}
"""What our nodes answer otherwise, and why."""

BY_SHAPE = (
    *("control-inspect-active", "control-inspect-active-safe", "control-inspect-reserved", "control-inspect-stats"),
    *("control-inspect-clock", "control-inspect-query-task-active", "control-inspect-registered"),
    *("control-inspect-active-queues-after", "control-revoke-terminate-active", "control-terminate-command-active"),
    *("control-revoke-by-stamped-headers-terminate-active", "control-inspect-registered-items"),
    *("control-inspect-conf", "control-inspect-conf-defaults"),
)
"""Answers that are about what runs, and so are not the same; below is a test of each."""

ENDING = ("control-shutdown", *(name for name in CALLED if name.endswith("-active") and "inspect" not in name))
"""Calls that would end the node that the other tests ask, or what it runs; and one of those is for another node."""

OF_EVENTS = tuple(name for name in CALLED if "events" in name)


class One(Control):
    """Wait for one answer, since there is one node."""

    def broadcast(self, *args: Any, **options: Any) -> Any:
        return super().broadcast(*args, **{"limit": 1, "timeout": 10.0, **options})


class Heard:
    """Hear what is said on the bus of an app."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._commands: list[Command] = []
        self._ready = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()))
        self._thread.start()
        assert self._ready.wait(60)

    async def _listen(self) -> None:
        async with self._app.bus.station() as station:
            subscription = await station.subscribe([Topic("celery.pidbox")], deadline_at=time.monotonic() + 60)
            self._ready.set()
            while not self._over.is_set():
                self._commands += map(read_command, await subscription.hear(timeout=0.01))

    def take(self) -> Command:
        """Return the next command."""
        until = time.monotonic() + 60
        while not self._commands:
            assert time.monotonic() < until, "nothing was said"
            time.sleep(0.001)
        return self._commands.pop(0)

    def forget(self) -> None:
        """Leave out what other tests have said: all of that comes before a command of its own."""
        mark = f"mark-{next(numbers)}"
        self._app.control.broadcast(mark)
        while self.take().method != mark:
            pass

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def node_at_work(place: str) -> Iterator[Celery]:
    """Give an app with a node in which one run is under way, and another one waits for a moment."""
    app = Celery("proj", broker=f"memory://{place}", set_as_current=False)
    gate = threading.Event()
    for name in ("add", "sleep"):
        app.task(name=f"proj.tasks.{name}", ignore_result=True)(lambda *args, **kwargs: gate.wait(30))
    app.task(name="proj.tasks.limited", rate_limit="10/m")(lambda: None)
    with start_worker(app, hostname=NODE, perform_ping_check=False, prefetch_multiplier=10):
        app.control.broadcast("ping", reply=True, limit=1, timeout=10)
        stamped: dict[str, Any] = {"tenant": "t7", "stamped_headers": ["tenant"]}
        app.send_task("proj.tasks.sleep", (12,), task_id="active", **stamped)
        app.send_task("proj.tasks.add", (1, 2), task_id="reserved")
        until = time.monotonic() + 60
        while not (app.control.inspect(limit=1).reserved() or {}).get(NODE) and time.monotonic() < until:
            time.sleep(0.01)
        yield app
        gate.set()
    app.close()


@pytest.fixture(scope="module")
def app() -> Iterator[Celery]:
    with node_at_work("golden-control") as app:
        yield app


@pytest.fixture
def fresh() -> Iterator[Celery]:
    """Give one whose second message was claimed just now: what cannot begin goes back after a second."""
    with node_at_work(f"golden-control-{next(numbers)}") as app:
        yield app


@pytest.fixture(scope="module")
def heard(app: Celery) -> Iterator[Heard]:
    heard = Heard(app)
    yield heard
    heard.stop()


def said(name: str) -> dict[str, Any]:
    """Return the body of a captured request."""
    body: dict[str, Any] = vector.load(name)["request"]["decoded"]["body"]
    return body


def called(app: Celery, name: str) -> Any:
    """Make the call of a capture with our client."""
    arguments = said(name)["arguments"]
    ids = arguments.get("task_id") or arguments.get("ids") or arguments.get("revoked") or [arguments.get("id")]
    listed = [ids] if isinstance(ids, str) else list(ids)
    names = {
        "control": One(app),
        "broadcast": One(app).broadcast,
        "inspect": partial(app.control.inspect, limit=1, timeout=10),
        "add": type("Add", (), {"s": staticmethod(lambda *args: arguments["action"])}),
        "id": listed[0],
        "ids": listed,
        "unknown": "unknown",
        **{f"id{number}": one for number, one in enumerate(listed, 1)},
    }
    return eval(vector.load(name)["call"], names)


@pytest.mark.parametrize("name", [name for name in CALLED if name not in ENDING])
def test_our_client_says_the_same(app: Celery, heard: Heard, name: str) -> None:
    wanted = said(name)
    heard.forget()

    called(app, name)
    told = heard.take()

    known = {key: told.arguments[key] for key in wanted["arguments"]}
    assert (told.method, known) == (wanted["method"], wanted["arguments"])
    assert set(told.arguments) - set(known) <= {"stored"}
    assert [key for key in told.arguments if key in known] == list(known)
    assert (told.pattern, told.matcher) == (wanted["pattern"], wanted["matcher"])
    if "destination" in vector.load(name)["call"]:
        assert list(told.destination) == wanted["destination"]
    assert (told.ticket is None) == ("ticket" not in wanted)


@pytest.mark.parametrize("name", [name for name in ANSWERED if name not in {*OTHERWISE, *BY_SHAPE, *OF_EVENTS}])
def test_our_node_answers_the_same(app: Celery, name: str) -> None:
    wanted = said(name)
    for queue in ("newq", "newq2"):
        One(app).cancel_consumer(queue, reply=True)

    [answer] = One(app).broadcast(wanted["method"], wanted["arguments"], reply=True)

    assert answer == vector.load(name)["reply"]["decoded"]["body"]


def answered(app: Celery, name: str) -> tuple[Any, Any]:
    """Return what our node answers to a captured command, and what was captured."""
    [answer] = One(app).broadcast(said(name)["method"], said(name)["arguments"], reply=True)
    [theirs] = vector.load(name)["reply"]["decoded"]["body"].values()
    return answer[NODE], theirs


def shape(value: Any) -> Any:
    """Return the names of fields, and the types of values; of a list what its first member is."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value)


@pytest.mark.parametrize("name", ["control-inspect-active-safe", "control-inspect-active", "control-inspect-reserved"])
def test_tasks_are_described_in_the_same_words(fresh: Celery, name: str) -> None:
    ours, theirs = answered(fresh, name)

    wanted, found = shape(theirs[0]), shape(ours[0])
    assert list(ours[0]) == list(theirs[0])
    assert {**found, "worker_pid": None, "args": None} == {**wanted, "worker_pid": None, "args": None}
    assert type(ours[0]["args"]) is type(theirs[0]["args"])


def test_what_waits_for_its_time_is_told_in_the_same_words(app: Celery) -> None:
    sent = [app.send_task("proj.tasks.add", (9, seconds), countdown=seconds) for seconds in (600, 300)]

    ours, theirs = answered(app, "control-inspect-scheduled")

    assert [one["request"]["id"] for one in ours] == [sent[1].id, sent[0].id]
    assert shape(ours[0]) == shape(theirs[0])
    assert ours[0]["request"]["args"] == [9, 300]
    app.control.revoke(sent)


def test_a_task_is_found_by_its_id(fresh: Celery) -> None:
    found = fresh.control.inspect(limit=1).query_task("active", "reserved", "unknown")[NODE]

    assert {task_id: state for task_id, (state, _) in found.items()} == {"active": "active", "reserved": "reserved"}
    assert shape(list(found["active"])) == shape(list(answered_ids()[0]))


def answered_ids() -> list[Any]:
    [theirs] = vector.load("control-inspect-query-task-active")["reply"]["decoded"]["body"].values()
    return list(theirs.values())


def test_numbers_are_told_in_the_same_words(app: Celery) -> None:
    ours, theirs = answered(app, "control-inspect-stats")

    assert list(ours) == list(theirs)
    for part in ("pool", "broker", "rusage"):
        assert list(ours[part]) == list(theirs[part])
    assert shape(ours["pool"]["writes"]) == shape(theirs["pool"]["writes"])
    assert (type(ours["clock"]), type(ours["uptime"])) == (str, int)


def test_queues_are_described_in_the_same_words(app: Celery) -> None:
    for name in ("control-cancel-consumer", "control-add-consumer", "control-add-consumer-full"):
        answered(app, name)

    ours, theirs = answered(app, "control-inspect-active-queues-after")

    assert ours == theirs


def test_tasks_are_listed_with_their_options(app: Celery) -> None:
    ours, _ = answered(app, "control-inspect-registered")
    with_items, _ = answered(app, "control-inspect-registered-items")
    hidden = app.control.inspect(limit=1).registered("_app", "nonesuch")[NODE]

    assert "proj.tasks.limited [rate_limit=10/m]" in ours
    assert "proj.tasks.limited [max_retries=3 rate_limit=10/m]" in with_items
    assert not [one for one in ours if one.startswith("celery.")]
    assert hidden == sorted(name for name in app.tasks if not name.startswith("celery."))


def test_settings_are_told_under_the_same_names(app: Celery) -> None:
    changed, theirs = answered(app, "control-inspect-conf")
    everything, all_of_theirs = answered(app, "control-inspect-conf-defaults")

    assert changed["broker_url"] == "memory://golden-control"
    assert theirs["broker_url"] == "redis://:********@127.0.0.1:6390/0"
    missing = set(all_of_theirs) - set(everything)
    assert missing <= {"deprecated_settings"}


def test_the_clock_moves_on(app: Celery) -> None:
    first, _ = answered(app, "control-inspect-clock")
    second, _ = answered(app, "control-inspect-clock")

    assert 0 < first["clock"] < second["clock"]


def test_a_worker_of_celery_that_starts_is_told_what_is_revoked(app: Celery) -> None:
    [told] = One(app).broadcast("hello", {"from_node": "w9@host1", "revoked": {"old-style": 12.5}}, reply=True)
    [again] = One(app).broadcast("hello", {"from_node": "w9@host1", "revoked": ["new-style"]}, reply=True)

    assert "old-style" in told[NODE]["revoked"]
    assert {"old-style", "new-style"} <= set(again[NODE]["revoked"])
    assert told[NODE]["clock"] < again[NODE]["clock"]


def test_what_is_not_there_says_so(app: Celery) -> None:
    answers = {
        name: One(app).broadcast(name, arguments, reply=True)[0][NODE]
        for name, arguments in {
            "objgraph": {"num": 10},
            "pool_grow": {"n": 1},
        }.items()
    }

    assert {name: list(answer) for name, answer in answers.items()} == {name: ["error"] for name in answers}
    assert "py-spy" in answers["objgraph"]["error"]


def test_what_is_under_way_is_ended_by_its_stamp_or_id(fresh: Celery) -> None:
    arguments = {"headers": {"tenant": ["t7", "t8"]}, "terminate": True}

    [by_id] = One(fresh).broadcast("terminate", {"signal": "KILL", "task_id": ["reserved"]}, reply=True)
    [stamped] = One(fresh).broadcast("revoke_by_stamped_headers", arguments, reply=True)

    assert stamped == {NODE: {"ok": "headers {'tenant': {'t7'}} revoked"}}
    assert by_id == {NODE: {"ok": "terminate: reserved"}}
