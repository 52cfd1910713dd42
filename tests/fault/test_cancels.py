"""Runs are revoked, cancelled and terminated at random moments: each ends in one state, and no innocent dies."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import TaskCancelled, TaskRevokedError
from tests.integration.project import Project
from tests.size import scaled

pytestmark = pytest.mark.fault

SIGNALS = ("SIGTERM", "SIGKILL", "SIGQUIT", "SIGUSR1")

WORK = """
@app.task
def stubborn(name):
    note("began", name)
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass


@app.task
def child():
    process = subprocess.Popen(["sleep", "600"])
    note("grandchild", process.pid)
    process.wait()
"""


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_runs_that_are_ended_at_random_moments_end_once_and_no_innocent_dies(
    project: Project, pool: str, tell: Callable[[str], None]
):
    node = project.start("-P", pool, "task_max_crashes=1", concurrency=4)
    dice = random.Random(11)
    unwanted: list[AsyncResult[str]] = []
    innocent: list[AsyncResult[str]] = []
    soon: list[tuple[float, AsyncResult[str]]] = []

    for number in range(scaled(10_000) // 10):
        for each in range(10):
            if each < 7:
                innocent.append(project.call("noted", f"run-{number}-{each}", dice.choice((0.0, 0.001, 0.005))))
            else:
                result = project.call("noted", f"run-{number}-{each}", dice.choice((0.01, 0.05, 0.3)))
                unwanted.append(result)
                soon.append((time.monotonic() + dice.expovariate(1 / 0.1), result))
        time.sleep(0.02)  # about as fast as they run: most are under way when they are ended
        now = time.monotonic()
        for _, result in [one for one in soon if one[0] <= now]:
            end(result, dice, pool)
        soon = [one for one in soon if one[0] > now]
    for _, result in soon:
        end(result, dice, pool)

    names = {result.get(timeout=120) for result in innocent}
    first = {result.id: outcome_of(result) for result in unwanted}
    counts = Counter(state for state, _ in first.values())
    tell(f"{pool}: {dict(counts)} of {len(unwanted)} unwanted runs, {len(innocent)} innocent ones")
    assert len(names) == len(innocent)
    assert set(counts) <= {"SUCCESS", "REVOKED"}
    assert counts["REVOKED"] > 0
    repeated = {name for name, runs in project.runs().items() if runs != 1 and name in names}
    assert pool != "prefork" or not repeated, "an innocent run was ended and began again"
    assert node.stop() == 0
    assert {result.id: outcome_of(result) for result in unwanted} == first
    assert project.dead_reasons() == []
    project.assert_clean()


def end(result: AsyncResult[str], dice: random.Random, pool: str) -> None:
    match dice.randrange(4):
        case 0:
            result.revoke()
        case 1:
            result.revoke(terminate=True, signal=dice.choice(SIGNALS))
        case _:
            result.cancel(reason="a die", grace=5.0)


def outcome_of(result: AsyncResult[str]) -> tuple[str, str]:
    value = result.get(timeout=60, propagate=False)
    assert isinstance(value, (str, TaskRevokedError))
    return result.state, type(value).__name__


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_body_that_swallows_its_cancel_is_killed_after_the_grace(project: Project, pool: str):
    project.use_also(WORK)
    node = project.start("-P", pool, "task_max_crashes=1", concurrency=2)
    innocent = project.call("noted", "innocent", 2.0)
    result = project.call("stubborn", "stubborn")
    project.wait_begun("stubborn")
    project.wait_begun("innocent")

    result.cancel(reason="too late", by="amy", grace=0.3)

    with pytest.raises(TaskCancelled, match="cancelled by amy: too late"):
        result.get(timeout=60)
    assert result.state == "REVOKED"
    assert innocent.get(timeout=60) == "innocent"
    assert project.began("innocent") == (1 if pool == "prefork" else 2)
    assert node.stop() == 0
    assert project.dead_reasons() == []
    project.assert_clean()
