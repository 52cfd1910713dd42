"""Events between Celery and celeriac: each side's receivers draw the same picture of the other's nodes and tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable
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


@pytest.fixture(params=[CELERY, CELERY_5_3], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def test_celerys_receivers_see_our_nodes_and_tasks(open_fleet: Callable[..., Fleet], kind: Kind) -> None:
    fleet = open_fleet(worker_send_task_events=True, task_send_sent_event=True)
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


def test_our_receivers_see_celerys_nodes_and_tasks(open_fleet: Callable[..., Fleet], kind: Kind) -> None:
    fleet = open_fleet(worker_send_task_events=True, task_send_sent_event=True)
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
