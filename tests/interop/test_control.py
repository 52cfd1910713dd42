"""Remote control in mixed fleets: clients and command lines of both drive the workers of both, and show the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import celeriac.worker.commands.table  # noqa: F401 - fills the panel
from celeriac.worker.commands.panel import Panel, is_built_in
from tests.interop.fleet import CELERIAC, CELERY, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

KINDS = {"celery": CELERY, "celeriac": CELERIAC}
NODES = {name: f"{name}@shop" for name in KINDS}
BOTH = list(NODES.values())

INSPECTED: dict[str, dict[str, Any]] = {
    "ping": {},
    "active": {"safe": True},
    "reserved": {},
    "scheduled": {},
    "revoked": {},
    "registered": {"taskinfoitems": ["max_retries", "rate_limit"]},
    "stats": {},
    "active_queues": {},
    "clock": {},
    "conf": {},
    "query_task": {"ids": ["id-1", "unknown"]},
    "memdump": {"samples": 3},
    "report": {},
    "dump_tasks": {},
    "dump_active": {},
    "dump_reserved": {},
    "dump_schedule": {},
    "dump_revoked": {},
    "dump_conf": {"with_defaults": False},
    "hello": {"from_node": "another@shop", "revoked": []},
    "objgraph": {"num": 1},
}
"""What is asked of both."""

TOLD: dict[str, dict[str, Any]] = {
    "rate_limit": {"task_name": "shop.add", "rate_limit": "10/m"},
    "time_limit": {"task_name": "shop.add", "soft": 60, "hard": 120},
    "add_consumer": {"queue": "mail"},
    "cancel_consumer": {"queue": "mail"},
    "pool_grow": {"n": 2},
    "pool_shrink": {"n": 1},
    "revoke": {"task_id": ["id-2"]},
    "terminate": {"signal": "KILL", "task_id": "id-3"},
    "revoke_by_stamped_headers": {"headers": {"tenant": ["t9"]}},
    "pool_restart": {},
    "autoscale": {"max": 4, "min": 1},
    "enable_events": {},
    "disable_events": {},
    "heartbeat": {},
    "nonesuch": {},
}
"""What both are told, and answer in the same words."""

UNDONE_BY = {"add_consumer": "cancel_consumer"}
"""Commands that we answer in other words when there is nothing to do, and what makes that something."""

ELSEWHERE = {
    "cancel": "Celery has none",
    "election": "a worker of Celery dies of one in a fleet of two; test_elections.py has a larger one",
    "memsample": "workers of Celery answer nothing without psutil",
    "shutdown": "it would end what the other tests ask; test_flower.py presses it",
}
"""Commands that are not in these tables, and why."""


def test_no_command_is_forgotten() -> None:
    ours = {name for name, handler in Panel.data.items() if is_built_in(handler)}

    assert ours == {*INSPECTED, *TOLD, *ELSEWHERE} - {"nonesuch"}


@pytest.fixture(scope="module")
def fleet(open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a worker of each kind, for tests that leave them idle."""
    with both_at_work(open_fleet) as fleet:
        yield fleet


@pytest.fixture
def own_fleet(open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a worker of each kind to one test."""
    with both_at_work(open_fleet) as fleet:
        yield fleet


@contextmanager
def both_at_work(open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    fleet = open_fleet()
    for kind in KINDS.values():
        fleet.start(kind, concurrency=2)
    wait_until(lambda: [len(said(fleet, kind, "ping")) for kind in KINDS.values()] == [2, 2], what=fleet.logs)
    yield fleet
    fleet.close()


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def said(fleet: Fleet, kind: Kind, command: str, **arguments: Any) -> dict[str, Any]:
    """Return what both workers answer to a client of a kind."""
    call = "app.control.broadcast({command}, {arguments}, destination={both}, reply=True, timeout=5)"
    answers = fleet.client(kind).run(call, command=command, arguments=arguments, both=BOTH)
    return {node: answer for one in answers for node, answer in one.items()}


def shown(fleet: Fleet, kind: Kind, *command: str) -> list[str]:
    """Return what a command line of a kind shows of both, in the order of the alphabet."""
    done = fleet.command(kind, command[0], "-t", "10", "-d", ",".join(BOTH), *command[1:])
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_command_lines_show_who_is_there(fleet: Fleet, kind: Kind) -> None:
    assert shown(fleet, kind, "status") == ["", *(f"->  {node}: OK" for node in sorted(BOTH)), "2 nodes online."]
    assert json.loads(fleet.command(kind, "inspect", "-t", "10", "-d", ",".join(BOTH), "-j", "ping").stdout) == {
        node: {"ok": "pong"} for node in BOTH
    }


def test_command_lines_say_when_nobody_answers(fleet: Fleet, kind: Kind) -> None:
    done = fleet.command(kind, "inspect", "-d", "nobody@shop", "-t", "0.2", "ping")

    assert (done.returncode, done.stdout) == (69, "")
    assert "No nodes replied within time constraint" in done.stderr


@pytest.mark.parametrize(
    "command", [("inspect", "active_queues"), ("control", "rate_limit", "shop.add", "1/s"), ("inspect", "revoked")]
)
def test_command_lines_show_the_same(fleet: Fleet, command: tuple[str, ...]) -> None:
    assert shown(fleet, CELERIAC, *command) == shown(fleet, CELERY, *command)


@pytest.mark.parametrize("command", list(INSPECTED))
def test_both_are_asked_by_either(fleet: Fleet, kind: Kind, command: str) -> None:
    found = said(fleet, kind, command, **INSPECTED[command])

    assert set(found) == set(BOTH)
    theirs, ours = found[NODES["celery"]], found[NODES["celeriac"]]
    assert type(ours) is type(theirs)
    if command in ("stats", "clock", "ping", "query_task"):
        assert list(ours) == list(theirs)
    if command in ("active_queues", "ping"):
        assert ours == theirs


@pytest.mark.parametrize("command", list(TOLD))
def test_both_do_what_either_says(fleet: Fleet, kind: Kind, command: str) -> None:
    if command in UNDONE_BY:
        said(fleet, kind, UNDONE_BY[command], **TOLD[command])

    found = said(fleet, kind, command, **TOLD[command])

    assert set(found) == set(BOTH)
    assert found[NODES["celeriac"]] == found[NODES["celery"]]


def test_nothing_of_it_is_left_in_the_broker(fleet: Fleet) -> None:
    def kept() -> dict[str, int]:
        runs = ("celeriac:held", "celeriac:started")  # of other tests, which may be under way
        keys = {str(key): fleet.broker.type(key) for key in fleet.broker.keys("*") if fleet.broker.ttl(key) < 0}
        sizes = {"set": fleet.broker.scard, "zset": fleet.broker.zcard, "hash": fleet.broker.hlen}
        return {key: sizes[kind](key) for key, kind in keys.items() if kind in sizes and not key.startswith(runs)}

    for kind in KINDS.values():
        said(fleet, kind, "ping")
    before = kept()

    for _ in range(10):
        for kind in KINDS.values():
            said(fleet, kind, "ping")
            fleet.client(kind).run("app.control.inspect(timeout=0.01).stats()")  # gone before they answer

    wait_until(lambda: kept() == before, what=lambda: f"{kept()} to be {before}")


def test_what_runs_is_told_in_the_same_words(own_fleet: Fleet) -> None:
    fleet = own_fleet
    theirs: list[Any] = []
    ours: list[Any] = []
    sent = 0
    while not (theirs and ours):  # either may take several before the other takes one, and keep some for later
        assert sent < 24, "one of them takes everything"
        fleet.client(CELERY).run(f"noted.apply_async(('run-{sent}', 60.0), task_id='run-{sent}').id")
        sent += 1
        found = said(fleet, CELERY, "active")
        theirs, ours = found[NODES["celery"]], found[NODES["celeriac"]]
    again = said(fleet, CELERIAC, "active")

    assert len(theirs) + len(ours) <= sent
    assert list(ours[0]) == list(theirs[0])
    assert list(ours[0]["delivery_info"]) == list(theirs[0]["delivery_info"])
    assert (ours[0]["name"], type(ours[0]["args"])) == (theirs[0]["name"], type(theirs[0]["args"]))
    assert {one["id"] for one in again[NODES["celeriac"]]} >= {one["id"] for one in ours}
