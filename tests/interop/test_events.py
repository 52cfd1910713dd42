"""Events between Celery and celeriac: each side's receivers draw the same picture of the other's nodes and tasks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac import Celery
from tests.interop.fleet import CELERIAC, CELERY, CELERY_5_3, Fleet, Kind, wait_until

pytestmark = pytest.mark.timeout(300)

WATCH = """
(lambda state, seen, box: (
    box.append(app.events.Receiver(app.connection_for_read(), handlers={'*': lambda event: (
        seen.append(event['type']),
        state.event(dict(event)),
        event['type'] == 'task-failed' and {'task-sent', 'task-succeeded'} <= set(seen)
            and setattr(box[0], 'should_stop', True),
    )})),
    box[0].capture(limit=500, timeout=20),
    {
        'types': sorted(set(seen)),
        'alive': [worker.hostname for worker in state.alive_workers()],
        'tasks': [
            (uuid, task.name, task.state, task.args, task.result, task.exception, task.worker.hostname)
            for uuid, task in state.tasks.items() if task.worker
        ],
    },
)[-1])(app.events.State(), [], [])
"""


PEERS = {
    "celery": (CELERY, "open_fleet"),
    "celery-5.3": (CELERY_5_3, "open_fleet"),
    "celery on rabbitmq": (CELERY, "open_fleet_on_rabbitmq"),
}


@pytest.fixture(params=list(PEERS))
def peer(request: pytest.FixtureRequest) -> tuple[Kind, str]:
    return PEERS[request.param]


@pytest.fixture
def kind(peer: tuple[Kind, str]) -> Kind:
    return peer[0]


@pytest.fixture
def fleet(peer: tuple[Kind, str], request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Give a fleet that emits events, on the server of the peer."""
    open_one: Callable[..., Fleet] = request.getfixturevalue(peer[1])
    made = open_one(worker_send_task_events=True, task_send_sent_event=True)
    yield made
    made.close()


def test_celerys_receivers_see_our_nodes_and_tasks(fleet: Fleet, kind: Kind) -> None:
    fleet.start(CELERIAC)
    seen: list[dict[str, Any]] = []
    listener = fleet.client(kind)
    watching = threading.Thread(target=lambda: seen.append(listener.run(" ".join(WATCH.split()))))
    watching.start()

    ids = set()
    while watching.is_alive():
        ids |= set(fleet.client(CELERIAC).run("[add.delay(2, 3).id, fail.delay('no').id]"))
        watching.join(0.3)

    [picture] = seen
    assert picture["alive"] == ["celeriac@shop"]
    assert {"task-sent", "task-received", "task-started", "task-succeeded", "task-failed"} <= set(picture["types"])
    found = {
        (name, state, args, result, exception, worker)
        for uuid, name, state, args, result, exception, worker in picture["tasks"]
        if uuid in ids
    }
    assert ("shop.add", "SUCCESS", "(2, 3)", "5", None, "celeriac@shop") in found
    assert ("shop.fail", "FAILURE", "('no',)", None, "ValueError('no')", "celeriac@shop") in found


def test_our_receivers_see_celerys_nodes_and_tasks(fleet: Fleet, kind: Kind) -> None:
    with Celery("onlooker", broker=fleet.environment["INTEROP_BROKER"], set_as_current=False) as app:
        state = app.events.State()
        receiver = app.events.Receiver(handlers={"*": state.event})
        hearing = threading.Thread(target=receiver.capture)
        hearing.start()
        worker = fleet.start(kind, "-E")
        name = f"{kind.name}@shop"

        wait_until(lambda: name in [one.hostname for one in state.alive_workers()])
        added, failed = fleet.client(kind).run("[add.delay(2, 3).id, fail.delay('no').id]")
        wait_until(
            lambda: (
                {state.tasks[uuid].state for uuid in (added, failed) if uuid in state.tasks} == {"SUCCESS", "FAILURE"}
            )
        )
        worker.stop()
        wait_until(lambda: not state.workers[name].alive)
        receiver.should_stop = True
        hearing.join(60)

    task = state.tasks[added]
    assert (task.name, task.args, task.result, task.worker) == ("shop.add", "(2, 3)", "5", state.workers[name])
    assert task.sent is not None
    assert task.client is not None
    assert state.tasks[failed].exception == "ValueError('no')"
    assert "Traceback" in (state.tasks[failed].traceback or "")


@pytest.mark.parametrize(
    ("works", "looks", "line"),
    [
        (CELERIAC, CELERY, r"celeriac@shop \[.*\] task succeeded: shop\.add\("),
        (CELERY, CELERIAC, r"celery@shop .*task-succeeded shop\.add\("),
    ],
    ids=["celery shows ours", "ours shows celery's"],
)
def test_command_lines_on_rabbitmq_dump_the_events_of_the_other_kind(
    open_fleet_on_rabbitmq: Callable[..., Fleet], works: Kind, looks: Kind, line: str
) -> None:
    fleet = open_fleet_on_rabbitmq(worker_send_task_events=True)
    fleet.start(works)
    dump = fleet.start_program(looks, "events", "--dump")

    def is_shown() -> bool:
        fleet.client(works).run("add.delay(2, 3).get(timeout=60)")
        return re.search(line, dump.log) is not None

    wait_until(is_shown, what=lambda: f"{line}\n{dump.log[-2_000:]}")
    fleet.close()
