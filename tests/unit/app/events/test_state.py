from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from celeriac.app.events.seen import Task, Worker, expires_at
from celeriac.app.events.state import State

CLOCK = itertools.count(1)


def task_event(kind: str, uuid: str = "id-1", *, at: float | None = None, **fields):
    at = time.time() if at is None else at
    common = {"hostname": "w1@here", "timestamp": at, "local_received": at, "clock": next(CLOCK), "pid": 4}
    return {**common, "type": kind, "uuid": uuid, **fields}


def worker_event(kind: str, hostname: str = "w1@here", *, at: float | None = None, **fields):
    at = time.time() if at is None else at
    common = {"hostname": hostname, "timestamp": at, "local_received": at, "clock": next(CLOCK), "pid": 4}
    return {**common, "type": kind, "freq": 2.0, **fields}


def seen(*events) -> State:
    state = State()
    for event in events:
        state.event(event)
    return state


def test_a_task_is_what_its_events_tell():
    state = seen(
        task_event("task-sent", hostname="gen1@there", queue="mail", routing_key="mail", exchange=""),
        task_event("task-received", at=1.0, name="add", args="(1, 2)", kwargs="{}", retries=0, root_id="id-1"),
        task_event("task-started", at=2.0),
        task_event("task-succeeded", at=3.0, result="3", runtime=0.5),
    )

    task = state.tasks["id-1"]
    assert (task.name, task.args, task.state, task.result, task.runtime) == ("add", "(1, 2)", "SUCCESS", "3", 0.5)
    assert (task.received, task.started, task.succeeded, task.timestamp) == (1.0, 2.0, 3.0, 3.0)
    assert (task.client, task.worker, task.ready) == ("gen1@there", state.workers["w1@here"], True)
    assert task.origin == "w1@here.4"
    assert (task.routing_key, task.root) == ("mail", task)
    assert task.info() == {
        "args": "(1, 2)", "kwargs": "{}", "retries": 0, "result": "3", "runtime": 0.5, "exchange": "",
        "routing_key": "mail", "root_id": "id-1",
    }  # fmt: skip
    assert task.as_dict()["worker"] == "w1@here"


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("task-failed", "FAILURE"),
        ("task-retried", "RETRY"),
        ("task-revoked", "REVOKED"),
        ("task-rejected", "REJECTED"),
        ("task-progress", "PROGRESS"),
    ],
)
def test_each_type_stands_for_a_state(kind, state):
    assert seen(task_event(kind)).tasks["id-1"].state == state


def test_what_comes_late_changes_no_state_and_fills_in_what_is_missing():
    state = seen(
        task_event("task-succeeded", result="3"),
        task_event("task-started"),
        task_event("task-received", name="add", args="(1, 2)", result="not this"),
    )

    task = state.tasks["id-1"]
    assert (task.state, task.name, task.args, task.result) == ("SUCCESS", "add", "(1, 2)", "3")


def test_a_retried_task_begins_again():
    state = seen(task_event("task-retried"), task_event("task-received", retries=1), task_event("task-started"))

    assert (state.tasks["id-1"].state, state.tasks["id-1"].retries) == ("STARTED", 1)


def test_what_a_body_tells_by_a_clock_of_its_own_makes_its_task_no_older():
    state = seen(
        task_event("task-started", "older", clock=50),
        task_event("task-started", "newer", clock=60),
        task_event("task-progress", "newer", clock=1),
    )

    assert [uuid for uuid, _ in state.tasks_by_time()] == ["newer", "older"]


def test_fields_of_a_program_are_attributes_and_cover_nothing():
    state = seen(
        task_event("task-progress", percent=50, event="x", info="x", merge_rules={}, _fields=(), state="SUCCESS")
    )

    task: Any = state.tasks["id-1"]
    assert task.percent == 50
    assert callable(task.event)
    assert callable(task.info)
    assert task._fields


def test_fields_are_not_taken_without_end():
    fields: dict[str, Any] = {f"field{number}": 1 for number in range(1000)}
    state = seen(task_event("task-progress", **fields))

    assert len(vars(state.tasks["id-1"])) < 100


@pytest.mark.parametrize("order", [0, 1])
def test_parents_know_their_children_whoever_is_heard_of_first(order):
    events = [task_event("task-received", "parent"), task_event("task-received", "child", parent_id="parent")]
    state = seen(*(events if order else reversed(events)))

    parent, child = state.tasks["parent"], state.tasks["child"]
    assert set(parent.children) == {child}
    assert child.parent is parent


def test_nodes_are_alive_for_two_heartbeats():
    now = time.time()
    state = seen(
        worker_event("worker-heartbeat", "new@here", at=now, active=1, processed=7, loadavg=[1, 2, 3]),
        worker_event("worker-heartbeat", "old@here", at=now - 5),
        worker_event("worker-heartbeat", "gone@here", at=now),
        worker_event("worker-offline", "gone@here", at=now),
    )

    assert [worker.hostname for worker in state.alive_workers()] == ["new@here"]
    worker = state.workers["new@here"]
    assert (worker.active, worker.processed, worker.status_string) == (1, 7, "ONLINE")
    assert worker.heartbeat_expires == expires_at(now, 2.0) == now + 4
    assert state.workers["gone@here"].status_string == "OFFLINE"


def test_a_short_heartbeat_leaves_what_was_known():
    state = seen(worker_event("worker-online", active=3, sw_ident="x"), worker_event("worker-heartbeat", active=None))

    assert (state.workers["w1@here"].active, state.workers["w1@here"].sw_ident) == (3, "x")


def test_who_comes_and_who_goes_is_told():
    told: list[tuple[str, str | None]] = []
    state = State(
        on_node_join=lambda worker: told.append(("join", worker.hostname)),
        on_node_leave=lambda worker: told.append(("leave", worker.hostname)),
    )

    for kind in ("worker-online", "worker-heartbeat", "worker-offline", "worker-offline"):
        state.event(worker_event(kind))

    assert told == [("join", "w1@here"), ("leave", "w1@here")]


def test_no_more_is_kept_than_was_asked_for_and_the_newest_stay():
    state = State(max_tasks_in_memory=2, max_workers_in_memory=2)

    for number in range(4):
        state.event(task_event("task-received", f"id-{number}", hostname=f"w{number}@here", parent_id=f"no-{number}"))

    assert list(state.tasks) == ["id-2", "id-3"]
    assert list(state.workers) == ["w2@here", "w3@here"]
    assert state.task_count == state.event_count == 4


def test_tasks_are_found_by_time_name_and_node():
    state = seen(
        task_event("task-received", "first", name="add"),
        task_event("task-received", "second", name="mul", hostname="w2@here"),
        task_event("task-started", "first"),
    )

    assert [uuid for uuid, _ in state.tasks_by_time()] == ["first", "second"]
    assert [uuid for uuid, _ in state.tasks_by_time(reverse=False)] == ["second", "first"]
    assert [uuid for uuid, _ in state.tasks_by_time(limit=1)] == ["first"]
    assert [uuid for uuid, _ in state.tasks_by_type("mul")] == ["second"]
    assert [uuid for uuid, _ in state.tasks_by_worker("w1@here")] == ["first"]
    assert state.task_types() == ["add", "mul"]
    assert [uuid for uuid, _ in state.itertasks(limit=1)] == ["second"]


def test_what_has_ended_is_forgotten_on_demand():
    state = seen(task_event("task-succeeded", "done"), task_event("task-started", "under-way"))

    assert state.freeze_while(lambda: len(state.tasks), clear_after=True) == 2

    assert list(state.tasks) == ["under-way"]
    state.clear(ready=False)
    assert not state.tasks
    assert not state.workers


def test_what_is_no_event_changes_nothing():
    state = State()

    assert state.event({"type": "task-started", "hostname": "w1@here", "timestamp": 1.0}) is None
    assert state.event({"type": "shop-open", "hostname": "w1@here", "timestamp": 1.0}) is None
    assert (len(state.tasks), len(state.workers)) == (0, 0)


def test_what_an_event_was_about_is_returned():
    state = State()

    found = state.event(worker_event("worker-online"))
    again = state.event(task_event("task-started"))

    assert found == ((Worker("w1@here"), True), "online")
    assert again is not None
    (task, is_new), subject = again
    assert (task.uuid, is_new, subject) == ("id-1", True, "started")
    assert isinstance(task, Task)
