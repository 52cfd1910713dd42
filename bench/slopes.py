"""Whether a task becomes dearer with what there is besides it: long queues, many queues, many results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from bench.contenders import Contender
from bench.contest import Ring, publish, trial
from bench.finding import Finding
from bench.own import batched, drained_per_s, with_variables

COUNT, LONG = 40_000, 1_000_000
QUEUES, BUSY = 1_000, 10
DEARER = 1.1
"""What counts as no slope: two medians of one thing differ by as much."""

_MOVING: Final = 300_000
"""Redis doubles its table of keys at 1,048,576, and moves it, key by key, while the next 250,000 are stored: a cost
that short tables have as often, only not in so few tasks."""


def slopes(here: Ring, engine: Contender, rounds: int) -> Iterator[Finding]:
    """Compare the costs of a task, in microseconds of the whole worker's time.

    Each is taken over 38,000 tasks whose results are stored beside as many others, so that only one thing differs.
    """
    usual = _cost(here, engine, COUNT, rounds)
    busy = with_variables(
        engine, BENCH_BUSY=str(BUSY), BENCH_WORKER=f"-Q {','.join(f'q{number}' for number in range(QUEUES))}"
    )
    many = _cost(here, busy, COUNT, rounds)
    long = statistics.median(1e6 / _dip_per_s(here, engine) for _ in range(rounds))
    keeping = with_variables(engine, BENCH_KEEP="1")
    drained_per_s(here, engine, LONG)  # for its results
    drained_per_s(here, keeping, _MOVING)
    full = _cost(here, keeping, COUNT, rounds)
    yield from _compared(f"from {COUNT:,} queued", usual, f"from {LONG:,} queued", long)
    yield from _compared("from 1 queue", usual, f"from {QUEUES:,} queues, {BUSY} of them busy", many)
    yield from _compared("with no results stored", usual, f"with {LONG + _MOVING:,} results stored", full)


def _dip_per_s(here: Ring, engine: Contender) -> float:
    publish(here, batched(engine), LONG)
    return trial(here, engine, "dip", COUNT)["drained_per_s"]


def _compared(few: str, few_us: float, many: str, many_us: float) -> Iterator[Finding]:
    yield Finding(what=f"a task {few}", value=few_us, unit="µs")
    yield Finding(what=f"a task {many}", value=many_us, unit="µs")
    yield Finding(what="the one beside the other", value=many_us / few_us, unit="×", at_most=DEARER)


def _cost(here: Ring, contender: Contender, count: int, rounds: int) -> float:
    return statistics.median(1e6 / drained_per_s(here, contender, count) for _ in range(rounds))
