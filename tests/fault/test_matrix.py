"""Every pool on every engine under every fault: nothing is lost, each run ends in one state, the pool keeps its size.

A cell is a call that meets a fault, among calls that have nothing to do with it. What the cells promise in common is
checked by `Cell.settle`; a cell itself says only what becomes of its victim.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zlib import crc32

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import TaskCancelled, TaskRevokedError, TimeLimitExceeded
from tests.fault.matrix_tasks import SOURCE
from tests.fault.redis.conftest import project_on
from tests.integration.project import ENGINES, Node, Project, opened, opened_store, wait_until
from tests.servers.redis import DURABLE

__all__ = ["project_on"]

pytestmark = [pytest.mark.fault, pytest.mark.waits]

POOLS: Final = {
    "prefork": ("-P", "prefork", "-c", "2"),
    "threads": ("-P", "threads", "-c", "4", "--processes", "2"),
    "asyncio": ("-P", "asyncio", "-c", "4", "--processes", "2"),
    "solo": ("-P", "solo", "-c", "1"),
}
BODIES_AT_ONCE: Final = {"prefork": 2, "threads": 4, "asyncio": 4, "solo": 1}
IN_CHILDREN: Final = ("prefork", "threads", "asyncio")
"""Pools whose children can be killed and replaced."""

INNOCENT: Final = 20


@dataclass
class Cell:
    """A project whose nodes have one pool."""

    project: Project
    pool: str
    innocent: list[AsyncResult[str]] = field(default_factory=list)

    def start(self, name: str = "w1") -> Node:
        return self.project.start(*POOLS[self.pool], name=name, concurrency=BODIES_AT_ONCE[self.pool])

    def call_innocent(self) -> None:
        """Have others wait and run beside the victim."""
        self.innocent += [self.project.call("noted", f"innocent-{number}", 0.005) for number in range(INNOCENT)]

    def begun(self, task: str, name: str, *args: object, **options: object) -> AsyncResult[str]:
        """Call the victim, and wait until it runs."""
        result = self.project.call(task, name, *args, **options)
        self.project.wait_begun(name)
        return result

    def fill(self) -> list[AsyncResult[str]]:
        """Have every body of the node stand at the gate."""
        names = [f"held-{number}" for number in range(BODIES_AT_ONCE[self.pool])]
        held = [self.project.call("steps", name, "gate") for name in names]
        for name in names:
            self.project.wait_begun(name)
        return held

    def settle(self, node: Node, *victims: AsyncResult[str]) -> None:
        """Everything has ended, each in one state; the node does as much at once as before, and stops in order."""
        for number, result in enumerate(self.innocent):
            assert result.get(timeout=60) == f"innocent-{number}"
        wait_until(lambda: all(one.ready() for one in victims), what=f"the end of {victims}\n{self.project.logs()}")
        wait_until(self.project.is_empty, what=f"an empty store\n{self.project.logs()}")
        again = [self.project.call("steps", f"again-{number}", "gate-again") for number in range(self._size)]
        for number in range(self._size):
            self.project.wait_begun(f"again-{number}")
        self.project.open_gate("gate-again")
        for result in again:
            result.get(timeout=60)
        assert self.project.dead_reasons() == []
        assert node.stop() == 0, node.log_end
        ids = {one.id for one in (*self.innocent, *victims, *again)}
        assert self.project.store.records().keys() >= ids
        self.project.assert_clean()

    @property
    def _size(self) -> int:
        return BODIES_AT_ONCE[self.pool]

    def runs_of(self, *names: str) -> list[int]:
        return [self.project.began(name) for name in names]

    @property
    def runs_of_the_innocent(self) -> set[int]:
        return {self.project.began(f"innocent-{number}") for number in range(INNOCENT)}


def every_pool(test: Callable[..., None]) -> Callable[..., None]:
    return _on(test, *POOLS)


def pools_with_children(test: Callable[..., None]) -> Callable[..., None]:
    return _on(test, *IN_CHILDREN)


def _on(test: Callable[..., None], *pools: str) -> Callable[..., None]:
    """Run a test on pools and engines: all of them at full size, else each pool on one engine, not always the same."""
    cells = []
    for pool in pools:
        always = ENGINES[crc32(f"{test.__name__}{pool}".encode()) % len(ENGINES)]
        for kind in ENGINES:
            marks = () if kind == always else (pytest.mark.full,)
            cells.append(pytest.param(kind, pool, id=f"{kind}-{pool}", marks=marks))
    return pytest.mark.parametrize(("kind", "pool"), cells)(test)


@pytest.fixture
def cell(kind: str, pool: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cell]:
    with opened_store(kind, request) as store, opened(tmp_path, store) as project:
        project.use_also(SOURCE)
        yield Cell(project, pool)


# -- what ends a process ------------------------------------------------------------------------------------------


@pools_with_children
def test_a_body_that_leaves_its_process_runs_again_and_its_neighbours_uncounted(cell: Cell) -> None:
    node = cell.start()
    cell.call_innocent()

    victim = cell.project.call("leave_once", "victim")

    assert victim.get(timeout=60) == "victim"
    cell.settle(node, victim)


@pools_with_children
def test_a_killed_child_is_replaced_and_its_runs_begin_again(cell: Cell) -> None:
    node = cell.start()
    held = cell.fill()
    child = max(node.members(), key=lambda process: process.create_time())
    cell.call_innocent()

    child.kill()
    wait_until(lambda: not child.is_running())
    cell.project.open_gate("gate")

    assert [one.get(timeout=60) for one in held] == [f"held-{number}" for number in range(len(held))]
    cell.settle(node, *held)
    assert cell.runs_of_the_innocent == {1}


@every_pool
def test_a_killed_nodes_runs_begin_again_elsewhere(cell: Cell) -> None:
    node = cell.start()
    held = cell.fill()
    cell.call_innocent()

    node.kill()
    cell.project.open_gate("gate")
    other = cell.start("w2")

    assert [one.get(timeout=60) for one in held] == [f"held-{number}" for number in range(len(held))]
    cell.settle(other, *held)


@pytest.mark.parametrize("pool", POOLS)
def test_a_server_that_is_killed_and_comes_back_costs_nothing(pool, tmp_path, redis_server, project_on) -> None:
    server = redis_server(*DURABLE)
    project = project_on(server)
    project.use_also(SOURCE)
    cell = Cell(project, pool)
    node = cell.start()
    held = cell.fill()
    cell.call_innocent()

    server.kill()
    server.start()
    project.open_gate("gate")

    for result in held:
        result.get(timeout=40)
    cell.settle(node, *held)


# -- limits -------------------------------------------------------------------------------------------------------


@every_pool
@pytest.mark.parametrize("task", ["steps", "asteps"])
def test_a_soft_limit_is_told_to_the_body_alone(cell: Cell, task: str) -> None:
    node = cell.start()
    cell.call_innocent()

    # With a header of the caller's own: such messages are read in another way.
    victim = cell.project.call(task, "victim", soft_time_limit=0.3, headers={"tenant": "a"})

    assert victim.get(timeout=60) == "soft"
    cell.settle(node, victim)
    assert cell.runs_of_the_innocent == {1}
    assert cell.runs_of("victim") == [1]


@pools_with_children
def test_a_hard_limit_ends_a_body_that_refuses_to(cell: Cell) -> None:
    node = cell.start()
    cell.call_innocent()

    victim = cell.project.call("stubborn", "victim", time_limit=0.5)

    with pytest.raises(TimeLimitExceeded):
        victim.get(timeout=60)
    cell.settle(node, victim)
    assert cell.runs_of("victim") == [1]


# -- what is not wanted any more ----------------------------------------------------------------------------------


@every_pool
@pytest.mark.parametrize("task", ["steps", "asteps"])
def test_a_cancelled_run_ends_and_no_other_does(cell: Cell, task: str) -> None:
    node = cell.start()
    victim = cell.begun(task, "victim")
    cell.call_innocent()

    victim.cancel("not wanted")

    with pytest.raises(TaskCancelled, match="not wanted"):
        victim.get(timeout=60)
    assert victim.state == "REVOKED"
    cell.settle(node, victim)
    assert cell.runs_of("victim") == [1]


@every_pool
def test_what_is_revoked_before_it_begins_does_not_begin(cell: Cell) -> None:
    node = cell.start()
    held = cell.fill()
    victim = cell.project.call("steps", "victim")
    cell.call_innocent()

    victim.revoke()
    cell.project.open_gate("gate")

    with pytest.raises(TaskRevokedError):
        victim.get(timeout=60)
    assert victim.state == "REVOKED"
    cell.settle(node, victim, *held)
    assert cell.runs_of("victim") == [0]


# -- the node's own end -------------------------------------------------------------------------------------------


@every_pool
def test_a_warm_stop_lets_runs_end_and_leaves_the_rest(cell: Cell) -> None:
    node = cell.start()
    held = cell.fill()
    cell.call_innocent()

    node.signal(signal.SIGTERM)
    cell.project.open_gate("gate")

    assert node.wait_exit() == 0, node.log_end
    assert [one.get(timeout=1) for one in held] == [f"held-{number}" for number in range(len(held))]
    other = cell.start("w2")
    cell.settle(other, *held)
    assert cell.runs_of_the_innocent == {1}


@every_pool
def test_a_cold_stop_gives_back_what_runs(cell: Cell) -> None:
    node = cell.start()
    held = cell.fill()
    cell.call_innocent()

    node.signal(signal.SIGQUIT)

    node.wait_exit()
    node.wait_gone()
    assert {kept.crashes for kept in cell.project.kept()} == {0}
    cell.project.open_gate("gate")
    other = cell.start("w2")
    assert [one.get(timeout=60) for one in held] == [f"held-{number}" for number in range(len(held))]
    cell.settle(other, *held)


# -- bodies that misbehave ----------------------------------------------------------------------------------------


@every_pool
def test_a_body_that_exits_fails_and_ends_nothing_else(cell: Cell) -> None:
    node = cell.start()
    pids = {process.pid for process in node.members()}
    cell.call_innocent()

    victim = cell.project.call("leave_system", "victim")

    wait_until(victim.ready)
    assert victim.state == "FAILURE"
    assert {process.pid for process in node.members()} == pids, node.log_end
    cell.settle(node, victim)
    assert cell.runs_of("victim") == [1]
    assert cell.runs_of_the_innocent == {1}


@every_pool
def test_a_body_that_leaves_a_thread_holds_up_neither_work_nor_stop(cell: Cell) -> None:
    node = cell.start()
    cell.call_innocent()

    victim = cell.project.call("leave_threads", "victim")

    assert victim.get(timeout=60) == "victim"
    cell.settle(node, victim)
    node.wait_gone()
