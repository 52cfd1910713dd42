"""Nothing grows: a node of each pool does all there is to do for a while, and needs no more than before at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.fault.matrix_tasks import SOURCE
from tests.fault.test_matrix import BODIES_AT_ONCE, POOLS, every_pool
from tests.integration.project import Node, Project, opened, opened_store, wait_until
from tests.integration.stores import SqliteStore
from tests.size import scaled

pytestmark = [pytest.mark.fault, pytest.mark.waits, pytest.mark.timeout(300)]

SECONDS: Final = scaled(60)
MIB: Final = 1024 * 1024
MOST_MORE: Final = 8 * MIB
"""Memory by which a process may have grown between two looks: allocators keep some of what was used once."""

FEW: Final = 2
"""What comes and goes and happens to be there: a descriptor, a thread, a note in the store."""


@dataclass(frozen=True)
class Look:
    """What a process needs."""

    name: str
    memory: int
    descriptors: int
    threads: int

    @classmethod
    def at(cls, process: psutil.Process) -> Look:
        with process.oneshot():
            return cls(process.name(), process.memory_full_info().uss, process.num_fds(), process.num_threads())


@pytest.fixture
def project(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    with opened_store(kind, request) as store, opened(tmp_path, store) as made:
        made.use_also(SOURCE)
        yield made


@every_pool
def test_a_node_that_works_on_and_on_needs_no_more_than_before(project: Project, pool: str, tell: Any) -> None:
    node = project.start(*POOLS[pool])
    fill_every_body(project, BODIES_AT_ONCE[pool])
    work(project, for_seconds=max(2.0, SECONDS / 6))
    before, kept = looks(node), kept_by(project)

    rounds = work(project, for_seconds=SECONDS)

    after = looks(node)
    grown = {pid: (after[pid].memory - before[pid].memory) // 1024 for pid in before if pid in after}
    tell(f"{rounds} rounds in {SECONDS} s; processes have grown by {sorted(grown.values())} KiB")
    assert after.keys() == before.keys(), node.log_end
    more = {name: count - kept.get(name, 0) for name, count in kept_by(project).items()}
    assert {name: count for name, count in more.items() if count > FEW} == {}, f"after {rounds} rounds"
    for pid, look in after.items():
        assert look.memory - before[pid].memory < MOST_MORE, (before[pid], look)
        assert look.descriptors <= before[pid].descriptors + FEW, (before[pid], look)
        assert look.threads <= before[pid].threads + FEW, (before[pid], look)
    assert node.stop() == 0
    project.assert_clean()


def fill_every_body(project: Project, count: int) -> None:
    """Have each thread run a coroutine: its loop, with three or more descriptors, is made with the first one."""
    names = [f"filled-{number}" for number in range(count)]
    held = [project.call("asteps", name, "gate-of-all") for name in names]
    for name in names:
        project.wait_begun(name)
    project.open_gate("gate-of-all")
    for result in held:
        result.get(timeout=60)
        result.forget()


def work(project: Project, *, for_seconds: float) -> int:
    """Call whatever there is to call, and forget what came of it; return how often."""
    until = time.monotonic() + for_seconds
    rounds = 0
    while time.monotonic() < until:
        rounds += 1
        results: list[tuple[Any, Any]] = [(project.call("add", number, 1), number + 1) for number in range(20)]
        results += [(project.call("echo", "x" * 100_000), "x" * 100_000), (project.call("nap", 0.001), "woken")]
        results += [(project.call("fail", "no"), ValueError)]
        results += [(project.call("steps", f"s-{rounds}", soft_time_limit=0.05), "soft")]
        results += [(project.call("add", 1, 2, countdown=0.05), 3)]
        if rounds % 10 == 1:
            results += [(project.call("flaky", 1), 1), (project.call("letters", 2 * MIB), "x" * 2 * MIB)]
        for result, expected in results:
            value = result.get(timeout=60, propagate=False)
            assert isinstance(value, expected) if isinstance(expected, type) else value == expected
            result.forget()
    wait_until(project.is_empty)
    return rounds


def looks(node: Node) -> dict[int, Look]:
    return {process.pid: Look.at(process) for process in node.members()}


def kept_by(project: Project) -> dict[str, int]:
    """Count the rows of each table, or the keys."""
    store = project.store
    if isinstance(store, SqliteStore):
        tables = [name for (name,) in store.select("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: store.select(f"SELECT count(*) FROM {name}")[0][0] for name in tables if "sqlite" not in name}
    keys = [key.decode() for key in store.client.keys("*")]  # type: ignore[attr-defined] # it is a RedisStore
    return {"keys": len([key for key in keys if not key.startswith("celeriac:sent:")])}
