"""How late messages with an ETA begin while many others wait: `python -m bench.due MODULE WAITING SOON FOLDER`.

The worker runs before anything is published, because only then may messages be filed by their time (on Redis, where
workers of Celery might be the only ones). Prints its figures as JSON.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psutil

from bench.contenders import Contender
from bench.contest import Ring, answer_of
from bench.finding import Finding
from bench.ours import Ours
from bench.processes import private_mb, stop_cleanly_when_told, worker

BATCH = 1000
HOUR = 3600.0
HEAD_START = 2.0
SOON_PER_S = 100


def waiting(here: Ring, engine: Contender, *, queued: int, soon: int) -> Iterator[Finding]:
    """Measure how late `soon` messages begin while `queued` others are due in hours, and what those cost the node."""
    argv = [str(here.python(engine)), "-m", "bench.due", engine.module, str(queued), str(soon), str(here.folder)]
    found = json.loads(answer_of(argv, here.environment(engine), timeout=180 + queued / 2_000))
    beside = f"beside {queued:,} that wait"
    yield Finding(what=f"begin after their ETA, {beside}, p50", value=found["p50_ms"], unit="ms")
    yield Finding(what=f"begin after their ETA, {beside}, p99", value=found["p99_ms"], unit="ms", at_most=200)
    yield Finding(what=f"begin after their ETA, {beside}, first", value=found["first_ms"], unit="ms", at_least=0)
    yield Finding(what=f"supervisor grown by {queued:,} that wait", value=found["grown_mb"], unit="MB", at_most=20)


def measure(module: str, queued: int, soon: int, folder: Path) -> dict[str, float]:
    """Let `queued` messages wait, then `soon` others become due one after the other."""
    entrant = importlib.import_module(module)
    ours = cast("Ours", entrant.ours)
    entrant.prepare()
    with worker(ours.worker, folder / "due.log") as process:
        supervisor = cast("psutil.Process", process)
        _warm_up(ours)
        before = private_mb([supervisor])
        for done in range(0, queued, BATCH):
            ours.publish_batch(min(BATCH, queued - done), {"countdown": HOUR})
        begin_at = time.time() + HEAD_START
        results = [ours.call_late(begin_at + number / SOON_PER_S) for number in range(soon)]
        taken_ms = [result.get(timeout=HEAD_START + soon / SOON_PER_S + 60) * 1e3 for result in results]
        return {
            "p50_ms": statistics.median(taken_ms),
            "p99_ms": statistics.quantiles(taken_ms, n=100, method="inclusive")[98],
            "first_ms": min(taken_ms),
            "grown_mb": private_mb([supervisor]) - before,
        }


def _warm_up(ours: Ours) -> None:
    for _ in range(3):
        ours.publish_batch(BATCH, {})
        ours.call_and_wait()


if __name__ == "__main__":
    stop_cleanly_when_told()
    json.dump(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])), sys.stdout)
