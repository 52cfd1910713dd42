"""Work that streams into a project while something is being broken, and what became of it."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Final

import pytest

from celeriac.exceptions import OperationalError
from tests.integration.project import PATIENCE, Node, Project, wait_until

WORK: Final = 0.010
"""Seconds that a body takes."""


class Stream:
    """Call a task again and again, from a thread of its own, and remember what `delay()` said of each call.

    Args:
        every: seconds between two calls.
    """

    def __init__(self, project: Project, *, every: float = 0.004, prefix: str = "stream") -> None:
        self._project = project
        self._every = every
        self._prefix = prefix
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self.accepted: set[str] = set()
        self.unsure: set[str] = set()
        """Those of which the caller was told that they may have been published."""
        self.refused = 0
        self.slowest = 0.0
        """Seconds that the longest call took."""
        self.broke: BaseException | None = None

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a call never came back"
        if self.broke is not None:
            raise AssertionError("a call failed otherwise than it may") from self.broke

    def _run(self) -> None:
        for number in itertools.count():
            if self._stopping.wait(self._every):
                return
            try:
                self._call(f"{self._prefix}-{number}")
            except Exception as exc:  # noqa: BLE001 - told in the test's own thread
                self.broke = exc
                return

    def _call(self, task_id: str) -> None:
        began = time.monotonic()
        try:
            self._project.call("noted", task_id, WORK, task_id=task_id)
            self.accepted.add(task_id)
        except OperationalError as exc:
            if getattr(exc, "maybe_published", False):
                self.unsure.add(task_id)
            else:
                self.refused += 1
        self.slowest = max(self.slowest, time.monotonic() - began)


def start_nodes(project: Project, count: int, *args: str, **environment: Any) -> list[Node]:
    """Start nodes; each takes from a queue of its own as well, by which `assert_all_work` finds it."""
    names = [f"w{number}" for number in range(1, count + 1)]
    return [project.start("-Q", f"celery,of-{name}", *args, name=name, **environment) for name in names]


def assert_all_work(project: Project, nodes: list[Node], *, within: float = PATIENCE) -> None:
    """Have each node do something: none of them hangs."""
    calls = [(node, project.call("pid", queue=f"of-{node.name}")) for node in nodes]
    for node, call in calls:
        wait_until(call.ready, within=within, what=f"a run by {node.name}\n{node.log_end}")


def progress(project: Project) -> int:
    """Return a number that grows whenever a run begins. Cheap, however many there were."""
    try:
        return (project.folder / "notes").stat().st_size
    except FileNotFoundError:
        return 0


def wait_for_progress(project: Project, *, within: float = PATIENCE) -> float:
    """Wait until a run begins, and return the seconds that took."""
    began, before = time.monotonic(), progress(project)
    wait_until(lambda: progress(project) > before, within=within, what=f"any run to begin\n{project.logs()}")
    return time.monotonic() - began


def wait_for_silence(project: Project, *, seconds: float = 0.3) -> None:
    """Wait until no run has begun for a while."""
    before, since = progress(project), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.01)
        if progress(project) != before:
            before, since = progress(project), time.monotonic()


def wait_done(project: Project, *, within: float = PATIENCE) -> None:
    """Wait until nothing waits and nothing is held."""
    until = time.monotonic() + within
    while not project.is_empty():
        if time.monotonic() > until:
            kept = project.kept()
            held = sum(one.held for one in kept)
            pytest.fail(f"{len(kept)} left after {within:g} s, {held} of them held: {kept[:5]}\n{project.logs()}")
        time.sleep(0.02)


def succeeded(project: Project) -> set[str]:
    return {task_id for task_id, record in project.store.results().items() if record["status"] == "SUCCESS"}


def repeated(project: Project) -> int:
    """Count the runs beyond the first of each name."""
    runs = project.runs()
    return runs.total() - len(runs)


def publish_many(project: Project, count: int, *, work: float = WORK) -> set[str]:
    """Publish calls of so many seconds, in batches; return their ids."""
    ids: set[str] = set()
    for start in range(0, count, 1_000):
        calls: list[Any] = [((f"before-{n}", work), {}) for n in range(start, min(count, start + 1_000))]
        ids.update(project.app.sender.send_many("tasks.noted", calls))
    return ids
