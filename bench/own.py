"""What is measured of celeriac alone: durable and batched publishing, starting, memory, idleness, and slopes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.contenders import CELERIAC
from bench.contest import Ring, TrialFailed, publish, work
from bench.figures import Figures
from bench.processes import ROOT, cpu_seconds, descendants, private_mb, worker

READY_TIMEOUT = 20.0
WORKER = [sys.executable, "-m", "celeriac", "-A", "bench.celeriac_sqlite", "worker", "-c", "2", "-l", "warning"]
BATCHED = replace(CELERIAC, module="bench.celeriac_batches")
DURABLE = replace(CELERIAC, environment={"BENCH_SYNCHRONOUS": "FULL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure of celeriac beside what it should be.

    Attributes:
        what: what was measured.
        value: what came out.
        unit: of `value`.
        at_least: the goal, for what should be large.
        at_most: the goal, for what should be small.
    """

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None when there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


def of_figures(figures: Figures) -> list[Finding]:
    """Put celeriac's line of the table beside its goals."""
    return [
        Finding(what="drained, 2 children", value=figures.drained_per_s, unit="tasks/s", at_least=15_000),
        Finding(what="delay(), one process", value=figures.published_per_s, unit="calls/s", at_least=20_000),
        Finding(what="round trip, p50", value=figures.round_trip_ms, unit="ms", at_most=1),
        Finding(
            what="round trip after 50 ms of silence, p50", value=figures.rested_round_trip_ms, unit="ms", at_most=1.5
        ),
    ]


def publishing(here: Ring, share: float) -> Iterator[Finding]:
    """Measure publishing that waits for the disk, and publishing in batches."""
    durable = publish(here, DURABLE, max(300, round(4_000 * share)))["published_per_s"]
    yield Finding(what="delay(), synchronous=FULL", value=durable, unit="calls/s")
    batched = publish(here, BATCHED, max(5_000, round(100_000 * share)))["published_per_s"]
    yield Finding(what="batches of 1,000, one process", value=batched, unit="calls/s", at_least=60_000)


def living(here: Ring, *, idle: float, starts: int) -> Iterator[Finding]:
    """Measure a worker that starts, then works a little, then has nothing to do for `idle` seconds."""
    ready = [_start_and_stop(here) for _ in range(starts)]
    yield Finding(what="worker ready after", value=statistics.median(ready), unit="s", at_most=0.4)
    publish(here, CELERIAC, 1_000)
    with _ready_worker(here) as (supervisor, _):
        _wait_until_idle(supervisor)
        forkserver, *children = descendants(supervisor.pid)
        yield Finding(what="supervisor, private", value=private_mb([supervisor]), unit="MB", at_most=45)
        yield Finding(what="forkserver, private", value=private_mb([forkserver]), unit="MB")
        largest = max(private_mb([child]) for child in children)
        yield Finding(what="largest child, private", value=largest, unit="MB", at_most=25)
        yield Finding(what="idle, of a core", value=_idle_percent(supervisor, idle), unit="%", at_most=0.5)


def importing(rounds: int) -> Iterator[Finding]:
    """Measure what a shell and a web process wait for; the first of each fills the caches, and does not count."""
    for statement, at_most in (("import celeriac", 80), ("from celeriac import Celery", None)):
        # In pairs: what slows one of them probably slows the other.
        pairs = [(_wall("-c", statement), _wall("-c", "pass")) for _ in range(rounds + 1)]
        took_ms = statistics.median(whole - bare for whole, bare in pairs[1:]) * 1e3
        yield Finding(what=f"`{statement}`", value=took_ms, unit="ms", at_most=at_most)
    script = Path(sys.executable).with_name("celeriac")
    shown = statistics.median([_wall(str(script), "--help") for _ in range(rounds + 1)][1:])
    yield Finding(what="`celeriac --help`", value=shown, unit="s", at_most=0.15)


def slopes(here: Ring) -> Iterator[Finding]:
    """Measure whether a long queue makes a message dearer."""
    per_message_us = {}
    for queued in (10_000, 1_000_000):
        publish(here, BATCHED, queued)
        per_message_us[queued] = 1e6 / work(here, BATCHED, queued)["drained_per_s"]
        yield Finding(what=f"drained from {queued:,} queued", value=per_message_us[queued], unit="µs/task")
    dearer = per_message_us[1_000_000] / per_message_us[10_000]
    yield Finding(what="1,000,000 beside 10,000, per message", value=dearer, unit="×", at_most=1.1)


def _start_and_stop(here: Ring) -> float:
    with _ready_worker(here) as (_, took):
        return took


@contextmanager
def _ready_worker(here: Ring) -> Iterator[tuple[psutil.Popen, float]]:
    """Yield a worker that has said that it is ready, and the seconds that this took."""
    log = here.folder / "own.log"
    begun_at = time.perf_counter()
    with worker(WORKER, log, here.environment(CELERIAC)) as process:
        while " ready." not in log.read_text():
            if process.poll() is not None or time.perf_counter() - begun_at > READY_TIMEOUT:
                raise TrialFailed(f"the worker did not get ready: {log.read_text()[-500:].strip()}")
            time.sleep(0.002)
        yield process, time.perf_counter() - begun_at


def _wait_until_idle(supervisor: psutil.Popen) -> None:
    """Return when the node has computed next to nothing for half a second."""
    deadline_at = time.monotonic() + READY_TIMEOUT
    while _idle_percent(supervisor, 0.5) > 4:
        if time.monotonic() > deadline_at:
            raise TrialFailed(f"the worker was still busy {READY_TIMEOUT:.0f} s after the last task was queued")


def _idle_percent(supervisor: psutil.Popen, seconds: float) -> float:
    family = [supervisor, *descendants(supervisor.pid)]
    before = cpu_seconds(family)
    time.sleep(seconds)
    return (cpu_seconds(family) - before) / seconds * 100


def _wall(*arguments: str) -> float:
    """Return the seconds that an interpreter takes for these arguments."""
    begun_at = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, timeout=30, check=True)
    return time.perf_counter() - begun_at
