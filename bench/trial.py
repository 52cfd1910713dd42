"""One entrant in its own interpreter: `python -m bench.trial MODULE PHASE N FOLDER` prints its figures as JSON.

Publishing and working are two processes, because some producers listen for every result they asked for: when the worker
drains, the producer has gone, as it has when a web request has been answered.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import psutil

from bench import composed
from bench.measure import Stuck, drain_rate, latency, rate
from bench.processes import descendants, private_mb, stop_cleanly_when_told, worker

DRAIN_TIMEOUT = 60.0
WARM_UP = 100


class Entrant(Protocol):
    """What a module has to say to be measured: an app with a no-op task whose result is stored.

    Attributes:
        WORKER: command of a worker with two processes, to be run from the root of the checkout.
    """

    WORKER: Sequence[str]

    def prepare(self) -> None:
        """Remove what an earlier trial left."""

    def publish(self, count: int) -> None:
        """Call the task `count` times, one after the other, each as durable as it gets before the next."""

    def finished(self) -> int:
        """Return how many results are stored; first asked before there is a worker. Cheap: asked every 10 ms."""

    def call_and_wait(self) -> None:
        """Call the task once and return when its result is here."""


class Draining(NamedTuple):
    """A worker at work, and how many tasks it has finished."""

    process: psutil.Popen
    finished: Callable[[], int]


def publish(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Fill the queue while no worker runs; with `BENCH_KEEP` what earlier trials left stays."""
    if "BENCH_KEEP" not in os.environ:
        entrant.prepare()
    return {"published_per_s": rate(entrant.publish, count - WARM_UP, warm_up=WARM_UP)}


def drain(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Empty the queue."""
    with draining(entrant, log) as (_, finished):
        return {"drained_per_s": drain_rate(finished, count, timeout=DRAIN_TIMEOUT + count / 2000)}


def dip(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Take some thousand tasks from a queue that holds many more."""
    with draining(entrant, log) as (_, finished):
        return {"drained_per_s": drain_rate(finished, count, timeout=DRAIN_TIMEOUT)}


def pace(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Empty most of the queue, and look rarely, for tasks that take a while."""
    with draining(entrant, log) as (_, finished):
        timeout = DRAIN_TIMEOUT + count / 20
        return {"drained_per_s": drain_rate(finished, count, timeout=timeout, until=0.95, look_every=0.05)}


def work(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Empty the queue, then ask the idle worker for single results."""
    with draining(entrant, log) as (process, finished):
        drained_per_s = drain_rate(finished, count, timeout=DRAIN_TIMEOUT + count / 2000)
        busy = latency(entrant.call_and_wait, 300, silence=0, at_most=2)
        rested = latency(entrant.call_and_wait, 100, silence=0.05, at_most=6, warm_up=1)
        return {
            "drained_per_s": drained_per_s,
            "round_trip_ms": busy.p50_ms,
            "round_trip_p99_ms": busy.p99_ms,
            "rested_round_trip_ms": rested.p50_ms,
            "rested_round_trip_p99_ms": rested.p99_ms,
            "worker_mb": private_mb([cast("psutil.Process", process), *descendants(process.pid)]),
        }


@contextmanager
def draining(entrant: Entrant, log: Path) -> Iterator[Draining]:
    """Run the worker of an entrant.

    Raises:
        Stuck: it ended or was not done in time; the text has the last that it said.
    """
    before = entrant.finished()
    with worker(entrant.WORKER, log) as process:

        def finished() -> int:
            if process.poll() is not None:
                raise Stuck(f"its worker ended with exit code {process.returncode}")
            return entrant.finished() - before

        try:
            yield Draining(process, finished)
        except Stuck as stuck:
            last_words = " / ".join(log.read_text(errors="replace").splitlines()[-5:])
            raise Stuck(f"{stuck}; its worker said last: {last_words}") from None


PHASES: Final[Mapping[str, Callable[[Any, int, Path], dict[str, float]]]] = {
    **{phase.__name__: phase for phase in (publish, drain, dip, pace, work)},
    **composed.PHASES,
}


def main(module: str, phase: str, count: str, folder: str) -> None:
    """Run one phase and print what it found."""
    stop_cleanly_when_told()
    entrant = cast("Entrant", importlib.import_module(module))
    json.dump(PHASES[phase](entrant, int(count), Path(folder) / "worker.log"), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
