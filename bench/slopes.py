"""Whether a task becomes dearer with what there is besides it: long queues, many queues, many results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.contenders import Contender
from bench.contest import Ring
from bench.finding import Finding
from bench.own import drained_per_s, with_variables

SHORT, LONG = 10_000, 1_000_000
COUNT = 40_000
QUEUES, BUSY = 1_000, 10
DEARER = 1.1
"""What counts as no slope: two medians of one thing differ by as much."""


def slopes(here: Ring, engine: Contender, rounds: int) -> Iterator[Finding]:
    """Compare the costs of a task, in microseconds of the whole worker's time."""
    short = _cost(here, engine, SHORT, 2 * rounds - 1)
    usual = _cost(here, engine, COUNT, rounds)
    busy = with_variables(
        engine, BENCH_BUSY=str(BUSY), BENCH_WORKER=f"-Q {','.join(f'q{number}' for number in range(QUEUES))}"
    )
    many = _cost(here, busy, COUNT, rounds)
    # Last, because its results are those that the last figure needs.
    long = _cost(here, engine, LONG, 1)
    full = _cost(here, with_variables(engine, BENCH_KEEP="1"), COUNT, rounds)
    yield from _compared(f"from {SHORT:,} queued", short, f"from {LONG:,} queued", long)
    yield from _compared("from 1 queue", usual, f"from {QUEUES:,} queues, {BUSY} of them busy", many)
    yield from _compared("with no results stored", usual, f"with {LONG:,} results stored", full)


def _compared(few: str, few_us: float, many: str, many_us: float) -> Iterator[Finding]:
    yield Finding(what=f"a task {few}", value=few_us, unit="µs")
    yield Finding(what=f"a task {many}", value=many_us, unit="µs")
    yield Finding(what="the one beside the other", value=many_us / few_us, unit="×", at_most=DEARER)


def _cost(here: Ring, contender: Contender, count: int, rounds: int) -> float:
    return statistics.median(1e6 / drained_per_s(here, contender, count) for _ in range(rounds))
