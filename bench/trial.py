"""One entrant in its own interpreter: `python -m bench.trial MODULE publish|work N FOLDER` prints its figures as JSON.

Publishing and working are two processes, because some producers listen for every result they asked for: when the worker
drains, the producer has gone, as it has when a web request has been answered.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import psutil

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
        """Return how many results are stored. Cheap: asked every 10 ms."""

    def call_and_wait(self) -> None:
        """Call the task once and return when its result is here."""


def publish(entrant: Entrant, count: int) -> dict[str, float]:
    """Fill the queue while no worker runs."""
    entrant.prepare()
    return {"published_per_s": rate(entrant.publish, count - WARM_UP, warm_up=WARM_UP)}


def work(entrant: Entrant, count: int, log: Path) -> dict[str, float]:
    """Empty the queue, then ask the idle worker for single results."""
    with worker(entrant.WORKER, log) as process:
        drained_per_s = drain(entrant, count, process, log)
        busy = latency(entrant.call_and_wait, 300, silence=0, at_most=2)
        rested = latency(entrant.call_and_wait, 30, silence=0.05, at_most=3, warm_up=1)
        return {
            "drained_per_s": drained_per_s,
            "round_trip_ms": busy.p50_ms,
            "round_trip_p99_ms": busy.p99_ms,
            "rested_round_trip_ms": rested.p50_ms,
            "worker_mb": private_mb([cast("psutil.Process", process), *descendants(process.pid)]),
        }


def drain(entrant: Entrant, count: int, process: psutil.Popen, log: Path) -> float:
    """Return the tasks per second of a worker that has just been started.

    Raises:
        Stuck: it ended or was not done in time; the text has the last that it said.
    """

    def finished() -> int:
        if process.poll() is not None:
            raise Stuck(f"its worker ended with exit code {process.returncode}")
        return entrant.finished()

    try:
        return drain_rate(finished, count, timeout=DRAIN_TIMEOUT + count / 2000)
    except Stuck as stuck:
        last_words = " / ".join(log.read_text(errors="replace").splitlines()[-5:])
        raise Stuck(f"{stuck}; its worker said last: {last_words}") from None


def main(module: str, phase: str, count: str, folder: str) -> None:
    """Run one phase and print what it found."""
    stop_cleanly_when_told()
    entrant = cast("Entrant", importlib.import_module(module))
    if phase == "publish":
        figures = publish(entrant, int(count))
    else:
        figures = work(entrant, int(count), Path(folder) / "worker.log")
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
