"""Children are killed at any moment, over and over; the node goes on, and nothing is lost."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

import psutil
import pytest

from tests.integration.project import Node, Project, wait_until
from tests.size import late_after, scaled

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

SLOTS = 4
TASKS = scaled(5_000)
TASK_SECONDS = 0.05
KILL_FOR = scaled(30)
KILL_EVERY = 0.2
ENOUGH = KILL_FOR / KILL_EVERY / 3
GONE_WITHIN = late_after(5.0)


def children_of(node: Node) -> list[psutil.Process]:
    """Return the children that run now, whoever has just died left out."""
    [forkserver] = psutil.Process(node.pid).children()
    return [child for child in forkserver.children() if child.status() != psutil.STATUS_ZOMBIE]


def kill_one(node: Node, dice: random.Random) -> int:
    """SIGKILL a child; return how many that were."""
    with contextlib.suppress(psutil.NoSuchProcess):
        alive = children_of(node)
        if alive:
            dice.choice(alive).kill()
            return 1
    return 0


@pytest.mark.parametrize("options", [[], ["--max-tasks-per-child", "5"]], ids=["stay", "replaced"])
def test_a_child_killed_every_200_ms_costs_no_task_and_no_slot(project: Project, options, tell: Callable[[str], None]):
    dice = random.Random(7)
    node = project.start(*options, "task_max_crashes=1000", concurrency=SLOTS)
    pid, before = node.pid, psutil.Process(node.pid).create_time()
    results = [project.call("noted", f"run-{number}", TASK_SECONDS) for number in range(TASKS)]

    killed, until = 0, time.monotonic() + KILL_FOR
    while time.monotonic() < until or killed < ENOUGH:
        killed += kill_one(node, dice)
        time.sleep(KILL_EVERY)

    for number, result in enumerate(results):
        assert result.get(timeout=120) == f"run-{number}"
    runs = project.runs()
    duplicates = runs.total() - len(runs)
    tell(f"{project.store.source}: {killed} children killed, {duplicates} of {TASKS} tasks run twice, none lost")
    assert len(runs) == TASKS
    assert duplicates <= killed
    wait_until(lambda: len(children_of(node)) == SLOTS, what="a pool of its old size")
    assert (node.pid, psutil.Process(pid).create_time()) == (pid, before)
    wait_until(project.is_empty)
    assert project.dead_reasons() == []
    assert node.stop() == 0
    node.wait_gone(within=GONE_WITHIN)
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_killed_supervisor_takes_children_along_that_are_just_being_replaced(project: Project):
    node = project.start("--max-tasks-per-child", "1", concurrency=SLOTS)
    for number in range(200):
        project.call("noted", f"run-{number}", 0.005)
    wait_until(lambda: len(project.runs()) > 20)

    node.kill_supervisor()

    node.wait_gone(within=GONE_WITHIN)
    project.start(name="w2", concurrency=SLOTS)
    wait_until(lambda: len(project.runs()) == 200 and project.is_empty())
