"""Events of real nodes: what is told of a run, from its first event to its last."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import Celery, chain
from tests.integration.project import Project, wait_until

TASKS = """
from celeriac.exceptions import Ignore, Reject


@app.task(bind=True)
def measured(self):
    self.send_event("task-progress", percent=50)
    return "done"


@app.task(bind=True, max_retries=1)
def again(self):
    if self.request.retries < 1:
        raise self.retry(exc=KeyError("later"), countdown=0)
    return 7


@app.task
def ignored():
    raise Ignore()


@app.task
def refused():
    raise Reject("not me")


@app.task
def broken():
    raise ValueError("no")


@app.task(time_limit=0.5)
def endless():
    time.sleep(60)


@app.task
def step():
    return 1


@app.task(send_events=False)
def silent():
    return 1
"""


class Monitor:
    """Hear events in a thread."""

    def __init__(self, app: Celery) -> None:
        self.events: list[dict[str, Any]] = []
        self.state = app.events.State()
        self._receiver = app.events.Receiver(handlers={"*": self._take})
        self._thread = threading.Thread(target=self._receiver.capture)
        self._thread.start()

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.state.event(event)

    def of(self, task_id: str) -> list[dict[str, Any]]:
        """Return the events of one task."""
        return [event for event in self.events if event.get("uuid") == task_id]

    def kinds(self, task_id: str) -> list[str]:
        """Return what they are, without the group."""
        return [event["type"].removeprefix("task-") for event in self.of(task_id)]

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return an event, once it has come."""

        def found() -> dict[str, Any] | None:
            wanted = {"type": kind, **fields}.items()
            return next((event for event in self.events if wanted <= event.items()), None) if self.events else None

        event: dict[str, Any] = wait_until(found, what=f"{kind} {fields} among {len(self.events)}")
        return event

    def stop(self) -> None:
        self._receiver.should_stop = True
        self._thread.join(60)


@pytest.fixture
def monitor(project: Project) -> Iterator[Monitor]:
    """Listen before anything happens."""
    monitor = Monitor(project.app)
    yield monitor
    monitor.stop()


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_a_node_tells_what_becomes_of_its_tasks(project: Project, monitor: Monitor, engine: str):
    project.use_also(TASKS)
    node = project.start("-E", "--heartbeat-interval", "0.2")
    monitor.wait_for("worker-heartbeat")

    ids = {
        name: project.call(name).id
        for name in ("measured", "again", "ignored", "refused", "broken", "endless", "silent")
    }
    ids["expired"] = project.call("measured", expires=-1).id
    for name in ("refused", "broken", "endless"):
        monitor.wait_for("task-failed", uuid=ids[name])
    for name in ("measured", "again"):
        monitor.wait_for("task-succeeded", uuid=ids[name])
    if engine != "rabbitmq":
        monitor.wait_for("task-revoked", uuid=ids["expired"], expired=True, terminated=False)
    monitor.wait_for("task-started", uuid=ids["ignored"])
    assert node.stop() == 0
    monitor.wait_for("worker-offline")

    begin = ["received", "started"]
    told = {name: monitor.kinds(task_id) for name, task_id in ids.items()}
    told["measured"] = sorted(told["measured"])  # what a body tells does not go through its node
    retried = begin
    if engine == "rabbitmq":  # follow-ups are published before the run that they follow is settled
        retried = ["started"]
        first, *others = told["again"]
        others.remove("received")
        told["again"] = [first, *others]
    expired = told.pop("expired")
    assert expired == ["revoked"] or (engine == "rabbitmq" and not expired)  # it drops what no consumer waits for
    assert told == {
        "measured": ["progress", "received", "started", "succeeded"],
        "again": [*begin, "retried", *retried, "succeeded"],
        "ignored": begin,
        "refused": [*begin, "rejected", "failed"],
        "broken": [*begin, "failed"],
        "endless": [*begin, "failed"],
        "silent": [],
    }
    progress = monitor.wait_for("task-progress")
    assert (progress["percent"], progress["hostname"]) == (50, monitor.of(ids["broken"])[0]["hostname"])
    failure = monitor.of(ids["broken"])[-1]
    assert failure["exception"] == "ValueError('no')"
    assert 'raise ValueError("no")' in failure["traceback"]
    assert "TimeLimitExceeded" in monitor.of(ids["endless"])[-1]["exception"]
    clocks = [event["clock"] for event in monitor.events if "uuid" in event and event is not progress]
    assert clocks == sorted(clocks)
    assert [worker.alive for worker in monitor.state.workers.values()] == [False]


@pytest.mark.engines("sqlite", "redis")
def test_the_end_of_a_run_is_told_before_what_follows_it(project: Project, monitor: Monitor):
    project.use_also(TASKS)
    project.start("-E")
    steps = [project.app.signature("tasks.step", immutable=True) for _ in range(5)]

    last = chain(*steps).apply_async()
    last.get(timeout=60)
    monitor.wait_for("task-succeeded", uuid=last.id)

    told = [event["type"].removeprefix("task-") for event in monitor.events if event["type"].startswith("task-")]
    assert told == ["received", "started", "succeeded"] * 5


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_events_are_switched_on_and_off_while_the_node_works(project: Project, monitor: Monitor):
    project.start(concurrency=1)
    monitor.wait_for("worker-online")

    unseen = project.call("add", 1, 2)
    unseen.get(timeout=60)
    project.app.control.enable_events(reply=True)
    seen = project.call("add", 3, 4)
    seen.get(timeout=60)
    monitor.wait_for("task-succeeded", uuid=seen.id, result="7")
    project.app.control.disable_events(reply=True)
    unseen_again = project.call("add", 5, 6)
    unseen_again.get(timeout=60)
    project.app.control.heartbeat()
    monitor.wait_for("worker-heartbeat", processed=3)

    assert monitor.of(unseen.id) == monitor.of(unseen_again.id) == []


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_whoever_sends_a_task_may_tell_so(project: Project, monitor: Monitor):
    project.app.conf.task_send_sent_event = True
    project.start()
    monitor.wait_for("worker-online")

    result = project.call("add", 1, 2)

    event = monitor.wait_for("task-sent", uuid=result.id)
    assert (event["name"], event["args"], event["queue"]) == ("tasks.add", "(1, 2)", "celery")
    assert event["hostname"].startswith("gen")


def test_a_node_may_be_silent(project: Project, monitor: Monitor):
    project.start("--without-heartbeat")
    project.app.events.Dispatcher(hostname="me@here").send("shop-open")

    monitor.wait_for("shop-open")

    assert [event for event in monitor.events if event["type"].startswith("worker-")] == []


@pytest.mark.engines("sqlite")
def test_a_table_on_a_terminal_shows_nodes_and_tasks(project: Project):
    project.start("-E", "--heartbeat-interval", "0.2", concurrency=1)
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (40, 200))
    watching = subprocess.Popen(
        [sys.executable, "-m", "celeriac", "-A", "tasks", "events"],
        cwd=project.folder,
        env={**os.environ, "TERM": "xterm"},
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    drawn: list[bytes] = []
    reading = threading.Thread(target=lambda: drawn.extend(_read(terminal)))
    reading.start()
    try:

        def is_shown() -> bool:
            project.call("add", 1, 2).get(timeout=60)
            lines = b"".join(drawn).decode(errors="replace").splitlines()
            node = any("w1@" in line and "online" in line for line in lines)
            return node and any("tasks.add" in line and "SUCCESS" in line for line in lines)

        wait_until(is_shown, what="a node and a task in the table")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
    finally:
        watching.kill()
        watching.wait()
        reading.join(60)
        os.close(terminal)


def _read(terminal: int) -> Iterator[bytes]:
    """Read what is drawn, until nobody has the terminal open any more."""
    with contextlib.suppress(OSError):  # the kernel's way to say so
        while piece := os.read(terminal, 65_536):
            yield piece


CAMERA = """
from collections import Counter

from celeriac.events.snapshot import Polaroid


class Ledger(Polaroid):
    def on_shutter(self, state):
        print("seen", sorted({task.state for task in state.tasks.values()}), flush=True)
"""


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--json", "events"], '"result": "3"'),
        (["events", "--dump"], "task-succeeded tasks.add("),
        (["events", "--camera", "ledger.Ledger", "--freq", "0.1"], "seen ['SUCCESS']"),
    ],
    ids=["json", "dump", "camera"],
)
def test_the_command_line_shows_events(project: Project, args: list[str], line: str):
    (project.folder / "ledger.py").write_text(CAMERA)
    project.start("-E", concurrency=1)
    shown = project.folder / "shown"
    with shown.open("w") as output:
        watching = subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "tasks", *args], cwd=project.folder, stdout=output
        )
    try:

        def is_shown() -> bool:
            project.call("add", 1, 2).get(timeout=60)
            return line in shown.read_text()

        wait_until(is_shown, what=line)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
    finally:
        watching.kill()
        watching.wait()
