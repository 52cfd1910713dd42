"""Children are replaced: after so many runs, with so much memory, or as fresh interpreters."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.integration.project import Project

KEEP_MEMORY = """
kept = []

@app.task
def grow(mebibytes: int) -> int:
    kept.append(b"x" * (mebibytes << 20))
    return os.getpid()
"""


def test_a_child_runs_so_many_tasks_and_another_one_takes_over(project: Project):
    node = project.start("--max-tasks-per-child", "5", concurrency=2)
    results = [project.call("pid") for _ in range(60)]

    runs = Counter(result.get(timeout=60) for result in results)

    assert max(runs.values()) <= 5
    assert len(runs) >= 12
    assert node.stop() == 0
    node.wait_gone()
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_child_with_too_much_memory_ends_after_its_run(project: Project):
    project.use_also(KEEP_MEMORY)
    project.start("--max-memory-per-child", "200000", concurrency=1)

    pids = [project.call("grow", size).get(timeout=60) for size in (1, 300, 1, 1)]

    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.engines("sqlite")
def test_children_can_be_fresh_interpreters_and_are_replaced_as_well(project: Project):
    node = project.start("--pool-start-method", "spawn", "--max-tasks-per-child", "2", concurrency=1)

    pids = [project.call("pid").get(timeout=60) for _ in range(4)]

    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert "importing the app started threads" not in node.log
    assert node.stop() == 0


@pytest.mark.engines("sqlite")
def test_a_child_that_hangs_before_it_is_ready_is_killed_and_another_one_is_started(project: Project):
    project.use_also("""
from celeriac.signals import worker_process_init

@worker_process_init.connect
def hang_once(**kwargs):
    if not (HERE / "hung").exists():
        (HERE / "hung").touch()
        time.sleep(600)
""")
    node = project.start("worker_proc_alive_timeout=1", concurrency=1)

    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert "was not ready within 1.0 s (worker_proc_alive_timeout)" in node.log
    node.signal(signal.SIGTERM)
    assert node.wait_exit() == 0


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_children_of_many_bodies_are_replaced_while_others_of_theirs_still_run(project: Project, pool):
    node = project.start("-P", pool, "--processes", "2", "--max-tasks-per-child", "5", concurrency=6)
    long = project.call("gated", "long", "gate")
    project.wait_begun("long")

    runs = Counter(project.call("pid").get(timeout=60) for _ in range(40))

    assert max(runs.values()) <= 5
    assert len(runs) >= 8
    project.open_gate("gate")
    assert runs[long.get(timeout=60)] <= 4, "the long run is one of its five"
    assert node.stop() == 0
    node.wait_gone()
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_a_pool_that_nothing_can_replace_says_so(project: Project):
    node = project.start("-P", "solo", "--max-tasks-per-child", "1", concurrency=1)

    pids = {project.call("pid").get(timeout=60) for _ in range(3)}

    assert pids == {node.pid}
    assert "have no effect with the pool solo" in node.log
