"""A worker's life: how soon it is ready, what it needs, what it costs while it has nothing to do; and importing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.contenders import Contender
from bench.contest import Ring, TrialFailed, publish
from bench.finding import Finding
from bench.processes import ROOT, cpu_seconds, descendants, private_mb, worker

READY_TIMEOUT = 20.0


def living(here: Ring, engine: Contender, *, idle: float, starts: int) -> Iterator[Finding]:
    """Measure a worker that starts, then works a little, then has nothing to do for `idle` seconds."""
    ready = [_start_and_stop(here, engine) for _ in range(starts)]
    yield Finding(what="worker ready after", value=statistics.median(ready), unit="s", at_most=0.4)
    publish(here, engine, 1_000)
    with ready_worker(here, engine) as (supervisor, _):
        wait_until_idle(supervisor)
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


def _start_and_stop(here: Ring, engine: Contender) -> float:
    with ready_worker(here, engine) as (_, took):
        return took


@contextmanager
def ready_worker(here: Ring, engine: Contender) -> Iterator[tuple[psutil.Popen, float]]:
    """Yield a worker that has said that it is ready, and the seconds that this took."""
    log = here.folder / "own.log"
    argv = [sys.executable, "-m", "celeriac", "-A", engine.module, "worker", "-c", "2", "-l", "warning"]
    begun_at = time.perf_counter()
    with worker(argv, log, here.environment(engine)) as process:
        while " ready." not in log.read_text():
            if process.poll() is not None or time.perf_counter() - begun_at > READY_TIMEOUT:
                raise TrialFailed(f"the worker did not get ready: {log.read_text()[-500:].strip()}")
            time.sleep(0.002)
        yield process, time.perf_counter() - begun_at


def wait_until_idle(supervisor: psutil.Popen) -> None:
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
