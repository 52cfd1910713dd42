"""Bodies of 10 ms, and a bare loop over them.

`python -m bench.bodies NAME N` prints how many of N two processes do in a second.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Final

PROCESSES: Final = 2
ADDITIONS: Final = 400_000
"""About 10 ms of a processor of these years; exactly how long does not matter, as both sides do the same."""


def nap() -> None:
    """Wait for 10 ms, as for somebody's answer."""
    time.sleep(0.01)


def compute() -> None:
    """Have a processor work for about 10 ms."""
    total = 0
    for number in range(ADDITIONS):
        total += number


BODIES: Final = {"nap": nap, "compute": compute}


def bare_rate(name: str, count: int) -> float:
    """Return how many runs of a body two processes do in a second, together `count` of them."""
    context = multiprocessing.get_context("fork")
    start, took = context.Barrier(PROCESSES), context.SimpleQueue()
    processes = [
        context.Process(target=_loop, args=(name, count // PROCESSES, start, took), daemon=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    slowest = max(took.get() for _ in processes)
    for process in processes:
        process.join()
    return count // PROCESSES * PROCESSES / slowest


def _loop(name: str, count: int, start: Barrier, took: SimpleQueue[float]) -> None:
    body = BODIES[name]
    body()
    start.wait()
    begun_at = time.perf_counter()
    for _ in range(count):
        body()
    took.put(time.perf_counter() - begun_at)


if __name__ == "__main__":
    print(bare_rate(sys.argv[1], int(sys.argv[2])))
