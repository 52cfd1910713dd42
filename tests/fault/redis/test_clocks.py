"""Nodes whose clocks are an hour apart agree on what is due, because the store's clock is the one that counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from celeriac.exceptions import TaskRevokedError
from tests.fault.redis.streams import assert_all_work
from tests.integration.project import Node, Project, wait_until
from tests.servers.redis import DURABLE

pytestmark = [pytest.mark.fault, pytest.mark.waits]

HOUR = 3_600
SOURCE = Path(__file__).with_name("clock_shift.c")
CALLS = 20

TELLS_TIME = """
@app.task
def times(name="times"):
    note("began", name)
    return time.monotonic(), time.time()
"""


@pytest.fixture(scope="module")
def clock_shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile what shifts the clock of a process."""
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler; `apt-get install gcc libc6-dev`")
        pytest.skip("there is no C compiler; `apt-get install gcc libc6-dev`, or your system's way of it")
    library = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE], check=True, timeout=60)
    return library


@pytest.fixture
def fleet(redis_server, project_on, clock_shift) -> tuple[Project, list[Node]]:
    """Start a node whose clock is an hour behind, one that is right, and one that is an hour ahead."""
    project = project_on(redis_server(*DURABLE))
    project.use_also(TELLS_TIME)
    shifts = {"behind": -HOUR, "right": 0, "ahead": HOUR}
    nodes = [
        project.start(
            "-Q", f"celery,of-{name}", name=name, concurrency=1, LD_PRELOAD=str(clock_shift), CLOCK_SHIFT=str(shift)
        )
        for name, shift in shifts.items()
    ]
    for node, shift in zip(nodes, shifts.values(), strict=True):
        _, there = project.call("times", queue=f"of-{node.name}").get(timeout=60)
        assert abs(there - time.time() - shift) < 60, "its clock is what the test says"
    return project, nodes


def test_no_node_runs_a_call_before_its_time_and_all_run_it_when_it_is_due(fleet, tell):
    project, nodes = fleet
    calls = []

    for node in nodes:
        for number in range(CALLS):
            countdown = 0.5 + number / CALLS
            due_at = time.monotonic() + countdown
            calls.append((due_at, project.call("times", countdown=countdown, queue=f"of-{node.name}")))

    late = [call.get(timeout=60)[0] - due_at for due_at, call in calls]
    tell(f"{len(late)} calls began {min(late) * 1000:.0f} to {max(late) * 1000:.0f} ms after they were due")
    assert min(late) >= -0.002
    assert max(late) < 30.0
    assert_all_work(project, nodes)


def test_no_node_takes_a_call_for_expired_that_is_not_and_each_notices_one_that_is(fleet):
    project, nodes = fleet

    alive = [project.call("add", 1, 2, expires=600, queue=f"of-{node.name}") for node in nodes]
    expired = [project.call("noted", "never", countdown=0.4, expires=0.2, queue=f"of-{node.name}") for node in nodes]

    assert [call.get(timeout=60) for call in alive] == [3, 3, 3]
    for call in expired:
        with pytest.raises(TaskRevokedError):
            call.get(timeout=60)
    assert project.began("never") == 0


@pytest.mark.timeout(300)
def test_no_lease_is_stolen(fleet):
    project, nodes = fleet
    results = [project.call("gated", node.name, "gate", queue=f"of-{node.name}") for node in nodes]
    for node in nodes:
        project.wait_begun(node.name)

    enough = project.store.beats() + 6 * len(nodes)  # 12 s, which is longer than anybody takes to declare another dead
    wait_until(lambda: project.store.beats() >= enough)
    project.open_gate("gate")

    for result in results:
        result.get(timeout=60)
    assert [project.began(node.name) for node in nodes] == [1, 1, 1]
    for node in nodes:
        assert "declared dead" not in node.log, node.log_end
