"""What is measured of celeriac alone on one engine, beside its line of the table."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

from bench import bodies
from bench.contenders import CELERIAC_SQLITE, Contender
from bench.contest import Ring, answer_of, publish, trial
from bench.finding import Finding
from bench.goals import Goals

LEAST: int = 300
BATCH: str = "1000"


def with_variables(contender: Contender, **variables: str) -> Contender:
    """Return a contender whose processes find these in their environment, too."""
    return replace(contender, environment={**contender.environment, **variables})


def batched(contender: Contender) -> Contender:
    """Return a contender that publishes in batches."""
    return with_variables(contender, BENCH_BATCH=BATCH)


def publishing(here: Ring, engine: Contender, goals: Goals, share: float) -> Iterator[Finding]:
    """Measure publishing in batches, and on SQLite publishing that waits for the disk."""
    per_s = publish(here, batched(engine), max(5_000, round(100_000 * share)))["published_per_s"]
    yield Finding(what=f"batches of {BATCH}, one process", value=per_s, unit="calls/s", at_least=goals.batched)
    if engine is CELERIAC_SQLITE:
        durable = with_variables(engine, BENCH_SYNCHRONOUS="FULL")
        per_s = publish(here, durable, max(LEAST, round(4_000 * share)))["published_per_s"]
        yield Finding(what="delay(), synchronous=FULL", value=per_s, unit="calls/s")


def dispatching(here: Ring, engine: Contender, goals: Goals, share: float, rounds: int) -> Iterator[Finding]:
    """Measure a worker that sends nothing ahead."""
    fair = with_variables(engine, BENCH_WORKER="-O fair")
    count = max(LEAST, round(30_000 * share))
    per_s = statistics.median(drained_per_s(here, fair, count) for _ in range(rounds))
    yield Finding(what="drained with -O fair", value=per_s, unit="tasks/s", at_least=goals.fair)


def watching(here: Ring, engine: Contender, goals: Goals, share: float, rounds: int) -> Iterator[Finding]:
    """Measure a worker that sends events, three for each task, beside one that sends none."""
    count = max(LEAST, round(30_000 * share))
    watched = with_variables(engine, BENCH_WORKER="-E")
    shares = [drained_per_s(here, watched, count) / drained_per_s(here, engine, count) * 100 for _ in range(rounds)]
    yield Finding(
        what="drained with events (-E), of without", value=statistics.median(shares), unit="%", at_least=goals.watched
    )


def pacing(here: Ring, engine: Contender, share: float, rounds: int) -> Iterator[Finding]:
    """Measure tasks of 10 ms on two slots beside a bare loop over the same bodies, before and after."""
    count = max(LEAST, round(1_000 * share))
    for name, said in (("nap", "of waiting"), ("compute", "of computing")):
        tasks = with_variables(engine, BENCH_TASK=name)
        shares = []
        for _ in range(rounds):
            before = _bare(here, engine, name, count)
            publish(here, tasks, count)
            reached = trial(here, tasks, "pace", count)["drained_per_s"]
            shares.append(reached / ((before + _bare(here, engine, name, count)) / 2) * 100)
        yield Finding(
            what=f"10 ms {said} on 2 slots, of a bare loop", value=statistics.median(shares), unit="%", at_least=98
        )


def drained_per_s(here: Ring, contender: Contender, count: int) -> float:
    """Publish in batches, and return how fast that is drained."""
    publish(here, batched(contender), count)
    return trial(here, contender, "drain", count)["drained_per_s"]


def _bare(here: Ring, engine: Contender, name: str, count: int) -> float:
    argv = [str(here.python(engine)), "-m", bodies.__name__, name, str(count)]
    return float(answer_of(argv, here.environment(engine), timeout=120))
