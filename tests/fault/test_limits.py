"""Bodies that swallow everything: a hard limit ends them, with what they have started, and hurts nobody else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import psutil
import pytest

from celeriac.exceptions import TimeLimitExceeded
from tests.integration.project import Project, wait_until
from tests.size import scaled

pytestmark = pytest.mark.fault

POOLS = ("prefork", "threads", "asyncio")

STUBBORN = """
import ctypes
import threading


@app.task
def in_python():
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            pass


@app.task
def holding_the_lock():
    note("began", "holding_the_lock")
    while True:
        try:
            ctypes.PyDLL(None).sleep(600)
        except Exception:
            pass


@app.task
def with_grandchildren():
    kept = subprocess.Popen(["sleep", "600"])
    note("grandchild", kept.pid)
    deaf = subprocess.Popen(["sh", "-c", "trap '' TERM INT; while :; do sleep 600; done"])
    note("grandchild", deaf.pid)
    while True:
        try:
            kept.wait()
        except Exception:
            pass


@app.task
def beside_threads():
    threading.Thread(target=in_python.run, daemon=True).start()
    in_python.run()


@app.task
async def at_awaits():
    while True:
        try:
            await asyncio.sleep(0.001)
        except Exception:
            pass


@app.task
async def without_awaits():
    while True:
        try:
            len("x")
        except Exception:
            pass
"""
KINDS = ("in_python", "holding_the_lock", "with_grandchildren", "beside_threads", "at_awaits", "without_awaits")


@pytest.mark.parametrize("pool", POOLS)
def test_a_body_that_swallows_everything_is_ended_and_its_slot_comes_back(
    project: Project, pool: str, tell: Callable[[str], None]
):
    project.use_also(STUBBORN)
    node = project.start("-P", pool, concurrency=1)
    longest = 0.0

    for kind in KINDS:
        result = project.call(kind, time_limit=0.5, soft_time_limit=0.2)
        waiting = project.call("echo", kind)
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=60)
        ended_at = time.monotonic()
        assert waiting.get(timeout=60) == kind
        longest = max(longest, time.monotonic() - ended_at)

    tell(f"{pool}: at most {longest:.3f} s from the record of the kill to the result of the next run")
    started = [int(words[1]) for words in project.notes if words[0] == "grandchild"]
    assert len(started) == 2
    wait_until(lambda: not any(map(lives, started)), what="the end of what the body has started")
    assert node.stop() == 0
    assert project.dead_reasons() == []
    project.assert_clean()


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_innocents_of_the_same_child_run_again_uncounted(project: Project, pool: str):
    project.use_also(STUBBORN)
    # One counted crash would be the end of a message.
    node = project.start("-P", pool, "task_max_crashes=1", concurrency=4)
    innocents = [project.call("noted", f"innocent-{number}", 3.0) for number in range(2)]
    for number in range(2):
        project.wait_begun(f"innocent-{number}")

    for _ in range(2):
        with pytest.raises(TimeLimitExceeded):
            project.call("holding_the_lock", time_limit=0.5).get(timeout=60)

    assert [each.get(timeout=60) for each in innocents] == ["innocent-0", "innocent-1"]
    assert all(project.began(f"innocent-{number}") >= 2 for number in range(2))
    assert project.dead_reasons() == []
    assert node.stop() == 0
    project.assert_clean()


def test_limits_at_the_edge_of_windows_of_short_runs_hit_nobody_else(project: Project, tell: Callable[[str], None]):
    node = project.start("task_max_crashes=1", concurrency=2)
    dice = random.Random(7)
    limited, innocent = [], []

    for number in range(scaled(2_000)):
        limited.append(project.call("noted", f"limited-{number}", dice.uniform(0.0, 0.04), time_limit=0.02))
        innocent += [project.call("noted", f"innocent-{number}-{each}", 0.0005) for each in range(4)]

    for each in innocent:
        each.get(timeout=120)
    killed = sum(isinstance(each.get(timeout=60, propagate=False), TimeLimitExceeded) for each in limited)
    tell(f"{killed} of {len(limited)} limited runs were killed, beside {len(innocent)} innocent ones")
    assert 0 < killed < len(limited)
    assert {name: runs for name, runs in project.runs().items() if runs != 1} == {}
    assert project.dead_reasons() == []
    assert node.stop() == 0
    project.assert_clean()
