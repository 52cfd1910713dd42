"""What pools other than the default reach, and how soon a child that died has a successor.

`python -m bench.pools MODULE PHASE N FOLDER` prints the figures of one phase as JSON.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from bench.contenders import Contender
from bench.contest import Ring, answer_of
from bench.finding import Finding
from bench.goals import Goals
from bench.ours import Ours
from bench.own import LEAST, drained_per_s, with_variables
from bench.processes import stop_cleanly_when_told, worker

SLEEPS: Final = 1_000
REPLACED: Final = 20

_WARM_UP: Final = 20


def pools(here: Ring, engine: Contender, goals: Goals, share: float, rounds: int) -> Iterator[Finding]:
    """Measure how fast other pools drain tasks that do nothing, and what they wait for side by side."""
    count = max(LEAST, round(30_000 * share))
    for what, task, said in (
        ("drained, 2 × 4 threads", "noop", "-P threads -c 8 --processes 2"),
        ("drained, 100 coroutines", "anoop", "-P asyncio -c 100"),
    ):
        entrant = with_variables(engine, BENCH_WORKER=said, BENCH_TASK=task)
        per_s = statistics.median(drained_per_s(here, entrant, count) for _ in range(rounds))
        yield Finding(what=what, value=per_s, unit="tasks/s", at_least=goals.pooled)
    sleeps = max(10, round(SLEEPS * min(share, 1.0)))
    seconds = _phase(here, with_variables(engine, BENCH_WORKER=f"-P asyncio -c {sleeps}"), "sleeping", sleeps)
    yield Finding(what=f"{sleeps:,} sleeps of 1 s in one child", value=seconds, unit="s", at_most=1.3)


def replacing(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Measure how long after a child's death the next run begins, in a node that has no other child."""
    times = max(3, round(REPLACED * min(share, 1.0)))
    found = _phase(here, with_variables(engine, BENCH_WORKER="-c 1"), "dying", times)
    yield Finding(what="from a child's death to the next run, p50", value=found, unit="ms", at_most=50)


def _phase(here: Ring, engine: Contender, phase: str, count: int) -> float:
    argv = [str(here.python(engine)), "-m", "bench.pools", engine.module, phase, str(count), str(here.folder)]
    return float(json.loads(answer_of(argv, here.environment(engine), timeout=120)))


def sleeping(ours: Ours, count: int, folder: Path) -> float:
    """Return the seconds from the first call to the end of the last of `count` sleeps of 1 s."""
    begun_at = time.time()
    results = [ours.doze.delay(1.0) for _ in range(count)]
    return max(result.get(timeout=60) for result in results) - begun_at


def dying(ours: Ours, count: int, folder: Path) -> float:
    """Return the median of the milliseconds between `count` deaths and the runs that follow them."""
    taken_ms = []
    for number in range(count):
        last_words = folder / f"died-{number}"
        ours.leave.delay(str(last_words))
        began_at = ours.late.delay(0.0).get(timeout=30)
        taken_ms.append((began_at - float(last_words.read_text())) * 1e3)
    return statistics.median(taken_ms)


PHASES: Final = {phase.__name__: phase for phase in (sleeping, dying)}


def measure(module: str, phase: str, count: int, folder: Path) -> float:
    """Run one phase with a worker that has done something before."""
    entrant = importlib.import_module(module)
    ours = cast("Ours", entrant.ours)
    entrant.prepare()
    with worker(ours.worker, folder / f"{phase}.log"):
        for _ in range(_WARM_UP):
            ours.call_and_wait()
        return PHASES[phase](ours, count, folder)


if __name__ == "__main__":
    stop_cleanly_when_told()
    json.dump(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])), sys.stdout)
