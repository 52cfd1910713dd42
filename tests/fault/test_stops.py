"""Two signals to stop, at any two moments of a node's life."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.integration.project import Project, wait_until
from tests.size import SIZE, scaled

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

RACES = scaled(200) // 2  # on each engine
GRACE = 1.0
MORE = 2.0 if SIZE == "full" else 20.0  # the small size runs beside other tests, which slow down starts and ends
LONGEST_START = 1.2
TASKS = 10


def test_two_signals_at_any_moment_end_a_node_in_time_and_lose_nothing(project: Project, tell: Callable[[str], None]):
    dice = random.Random(11)
    codes: dict[int, int] = {}
    longest = 0.0
    for race in range(RACES):
        for number in range(TASKS):
            project.call("noted", f"run-{race}-{number}", 0.1)
        is_up = race % 2 == 0  # the other half is hit while it starts
        node = project.start("--stop-grace", str(GRACE), name=f"w{race}", ready=is_up)
        signalled_at = time.monotonic()
        time.sleep(dice.uniform(0.0, 0.5 if is_up else LONGEST_START))
        for _ in range(2):
            if node.process.poll() is None:
                node.signal(dice.choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]))
                signalled_at = time.monotonic()
            time.sleep(dice.uniform(0.0, 0.3))
        code = node.wait_exit(within=GRACE + MORE)
        longest = max(longest, time.monotonic() - signalled_at)
        codes[code] = codes.get(code, 0) + 1
        node.wait_gone(within=GRACE + MORE)

    project.start(name="last", concurrency=4)
    wait_until(lambda: len(project.runs()) == RACES * TASKS and project.is_empty(), within=120)

    tell(f"{project.store.source}: {RACES} nodes, exit codes {codes}, the slowest took {longest:.2f} s")
    assert project.dead_reasons() == []
    assert all(code in (0, 1, 130) or code < 0 for code in codes), codes
