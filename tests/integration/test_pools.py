"""Tasks in workers whose children run several bodies at once."""

from __future__ import annotations

import re
import time
from collections import Counter

import psutil
import pytest

from celeriac.exceptions import WorkerLostError
from tests.integration.project import ENGINES, Node, Project, wait_until
from tests.size import SIZE

pytestmark = pytest.mark.engines(*ENGINES)

LEASE_LOST_AFTER = 14.0 if SIZE == "full" else 0.0
"""Seconds after which a node whose lease nobody extends has surely been called dead."""

SEVERAL = ["threads", "asyncio"]

TASKS = """
import threading
from celeriac import current_task
from celeriac.utils.log import get_task_logger

logger = get_task_logger(__name__)


@app.task(bind=True)
def plain(self):
    first = self.request.id
    logger.warning("line of %s", first)
    print("begin of", first, end=" ")
    time.sleep(0.01)
    print("end of", first)
    print("rest of", first, end="")
    return first, self.request.id, current_task.request.id


@app.task(bind=True)
async def coroutine(self):
    first = self.request.id
    logger.warning("line of %s", first)
    print("begin of", first, end=" ")
    await asyncio.sleep(0.01)
    print("end of", first)
    await asyncio.to_thread(logger.warning, "line of %s", first)
    print("rest of", first, end="")
    return first, self.request.id, current_task.request.id


@app.task
async def calls_add(x, y):
    return (await add.adelay(x, y)).id


@app.task
async def gated_coroutine(name, gate):
    note("began", name)
    while not (HERE / gate).exists():
        await asyncio.sleep(0.005)
    return name


@app.task
def holds_the_interpreter(name):
    note("began", name)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        sum(range(30_000_000))  # one call into C, during which no other thread can run
    note("ended", name)


@app.task
async def holds_the_loop(name, gate):
    note("began", name)
    wait_at(gate)
    note("ended", name)


@app.task
async def dies_beside_others(gate):
    note("began", "killer")
    while not (HERE / gate).exists():
        await asyncio.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(track_started=True)
def started(gate):
    wait_at(gate)
"""


def start(project: Project, pool: str, concurrency: int = 8, processes: int = 2, *more: str) -> Node:
    project.use_also(TASKS)
    return project.start("-P", pool, "--processes", str(processes), *more, concurrency=concurrency)


@pytest.mark.parametrize("pool", ["prefork", *SEVERAL])
def test_plain_and_async_tasks_know_their_own_run_on_every_pool(project: Project, pool: str):
    project.use_also(TASKS)
    node = project.start("-P", pool, concurrency=8 if pool in SEVERAL else 2)
    results = [project.call(name) for name in ("plain", "coroutine") for _ in range(20)]

    for result in results:
        assert result.get(timeout=60) == [result.id] * 3

    assert node.stop() == 0
    for index, result in enumerate(results):
        said = Counter(re.findall(rf"\[{result.id}\]: (.*)", node.log))
        assert said == {
            f"line of {result.id}": 1 if index < 20 else 2,
            f"begin of {result.id} end of {result.id}": 1,
            f"rest of {result.id}": 1,
        }, node.log_end


@pytest.mark.parametrize("pool", SEVERAL)
def test_as_many_run_at_once_as_asked_for(project: Project, pool: str):
    node = start(project, pool, 6, 2)
    names = [f"g{number}" for number in range(8)]
    results = [
        project.call("gated_coroutine" if index % 2 else "gated", name, "go") for index, name in enumerate(names)
    ]

    wait_until(lambda: sum(project.runs().values()) == 6, what="six bodies at once")
    time.sleep(0.1)
    assert sum(project.runs().values()) == 6
    assert "concurrency: 6 (" + pool + ", 2 processes, adaptive)" in node.log
    role = {"threads": "ThreadPoolWorker", "asyncio": "AsyncPoolWorker"}[pool]
    titles = " ".join(" ".join(process.cmdline()) for process in psutil.Process(node.pid).children(recursive=True))
    assert sorted(re.findall(rf"{role}-\d", titles)) == [f"{role}-1", f"{role}-2"]

    project.open_gate("go")
    for result in results:
        result.get(timeout=60)
    assert set(project.runs().values()) == {1}
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.parametrize(("pool", "task"), [("threads", "holds_the_interpreter"), ("asyncio", "holds_the_loop")])
def test_what_holds_up_a_child_costs_neither_the_lease_nor_what_it_has_not_begun(project: Project, pool, task):
    node = start(project, pool, 8, 2)
    held = project.call(task, "holder", *(["go"] if pool == "asyncio" else []))
    project.wait_begun("holder")

    results = [project.call("coroutine") for _ in range(30)]

    for result in results:
        assert result.get(timeout=60)[0] == result.id
    onlooker = project.start(name="onlooker", concurrency=1)  # who takes the work of a node that seems dead
    if pool == "asyncio":
        time.sleep(LEASE_LOST_AFTER)
        assert ["ended", "holder"] not in project.notes
    project.open_gate("go")
    held.get(timeout=60)
    assert project.began("holder") == 1
    assert node.stop() == 0
    assert onlooker.stop() == 0
    project.assert_clean()
    assert "declared dead" not in node.log


def test_a_child_that_was_held_up_works_on(project: Project):
    node = start(project, "asyncio", 8, 1)
    held = project.call("holds_the_loop", "holder", "go")
    project.wait_begun("holder")
    results = [project.call("coroutine") for _ in range(5)]

    time.sleep(1.5)  # until what waits here goes back to its queue
    project.open_gate("go")

    held.get(timeout=60)
    for result in results:
        result.get(timeout=60)
    assert node.stop() == 0
    assert "killing it" not in node.log


@pytest.mark.parametrize("pool", SEVERAL)
def test_innocents_of_a_child_that_dies_run_again_uncounted_and_the_one_who_did_it_is_found(
    project: Project, pool: str
):
    project.use_also("app.conf.task_max_crashes = 2")
    node = start(project, pool, 4, 1)
    innocents = [project.call("gated_coroutine", f"innocent{number}", "go") for number in range(3)]
    for number in range(3):
        project.wait_begun(f"innocent{number}")
    killer = project.call("dies_beside_others", "now")
    project.wait_begun("killer")

    project.open_gate("now")
    project.wait_begun("innocent0", times=2)
    project.open_gate("go")

    for number, result in enumerate(innocents):
        assert result.get(timeout=60) == f"innocent{number}"
    with pytest.raises(WorkerLostError):
        killer.get(timeout=60)
    assert project.runs() == Counter(innocent0=2, innocent1=2, innocent2=2, killer=3)
    assert len(project.dead_reasons()) == 1
    assert node.stop() == 0


@pytest.mark.parametrize("pool", SEVERAL)
def test_a_warm_stop_lets_all_that_run_finish_and_hands_the_rest_back(project: Project, pool: str):
    node = start(project, pool, 4, 2)
    results = [project.call("gated_coroutine", f"g{number}", "go") for number in range(6)]
    wait_until(lambda: sum(project.runs().values()) == 4)

    node.signal(15)
    node.wait_for_log("warm shutdown")  # from that line on nothing begins
    project.open_gate("go")

    assert node.wait_exit() == 0
    assert sorted(result.state for result in results) == ["PENDING"] * 2 + ["SUCCESS"] * 4
    assert len(project.kept()) == 2
    assert all(not kept.held and not kept.crashes for kept in project.kept())


@pytest.mark.parametrize("pool", SEVERAL)
def test_runs_are_told_to_have_started_when_they_have(project: Project, pool: str):
    start(project, pool, 2, 1)
    results = [project.call("started", "go") for _ in range(3)]

    wait_until(lambda: [result.state for result in results] == ["STARTED", "STARTED", "PENDING"])
    project.open_gate("go")

    for result in results:
        result.get(timeout=60)


@pytest.mark.engines("sqlite")
def test_who_acknowledges_before_the_run_is_told_what_neighbours_may_cost(project: Project):
    several = start(project, "threads", 4, 1)
    one = project.start("-P", "threads", name="w2", concurrency=1)

    assert "Leave these to -P prefork, or let them be acknowledged late: tasks.die_after_ack" in several.log
    assert "acknowledged late" not in one.log


@pytest.mark.engines("sqlite")
def test_a_pool_of_a_users_own_runs_tasks(project: Project):
    (project.folder / "own.py").write_text(
        "from celeriac.worker.pools.threads import Threads\n\n\n"
        "class Own(Threads):\n    name = 'own'\n    role = 'OwnWorker'\n"
    )
    node = start(project, "own:Own", 4, 2)

    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert "concurrency: 4 (own, 2 processes, adaptive)" in node.log


@pytest.mark.parametrize("pool", SEVERAL)
def test_bodies_that_run_side_by_side_call_other_tasks(project: Project, pool: str):
    start(project, pool, 8, 1)

    callers = [project.call("calls_add" if number % 2 else "call_add", number, 1) for number in range(40)]

    for number, caller in enumerate(callers):
        assert project.app.AsyncResult(caller.get(timeout=60)).get(timeout=60) == number + 1
