"""What celeriac is meant to reach on each engine, on a machine with two processors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.contenders import CELERIAC_RABBITMQ, CELERIAC_REDIS, CELERIAC_SQLITE
from bench.figures import Figures, Standing
from bench.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """The goals of one engine; None where there is none.

    Attributes:
        drained: tasks per second of two children.
        drained_beside_celery: the same, in times of Celery's of the same run.
        drained_beside_best: in times of the fastest other peer's.
        fair: tasks per second with `-O fair`.
        pooled: tasks per second of two processes of four threads, and of one process of 100 coroutines.
        published: calls per second of one process.
        published_beside_celery: the same, in times of Celery's.
        batched: calls per second in batches.
        round_trip_ms: median, back to back.
        round_trip_p99_ms: the slowest hundredth of those.
        watched: tasks per second with events, in percent of those without.
        rested_round_trip_ms: median after 50 ms of silence.
    """

    drained: float
    drained_beside_celery: float | None = None
    drained_beside_best: float | None = None
    fair: float | None = None
    pooled: float | None = None
    published: float | None = None
    published_beside_celery: float | None = None
    batched: float | None = None
    round_trip_ms: float | None = None
    round_trip_p99_ms: float | None = None
    rested_round_trip_ms: float | None = None
    watched: float | None = None


GOALS: Final[Mapping[str, Goals]] = {
    CELERIAC_REDIS.name: Goals(
        drained=25_000,
        drained_beside_celery=20,
        drained_beside_best=4,
        fair=10_000,
        pooled=20_000,
        published=20_000,
        published_beside_celery=10,
        batched=100_000,
        round_trip_ms=0.7,
        round_trip_p99_ms=3,
        watched=60,
    ),
    CELERIAC_SQLITE.name: Goals(
        drained=15_000,
        fair=10_000,
        pooled=15_000,
        published=20_000,
        batched=60_000,
        round_trip_ms=1,
        rested_round_trip_ms=1.5,
    ),
    CELERIAC_RABBITMQ.name: Goals(drained=8_000, drained_beside_celery=4),
}


def beside_goals(figures: Figures, goals: Goals) -> Iterator[Finding]:
    """Put a line of the table beside its goals."""
    rate, ms = "tasks/s", "ms"
    yield Finding(what="drained, 2 children", value=figures.drained_per_s, unit=rate, at_least=goals.drained)
    yield Finding(what="delay(), one process", value=figures.published_per_s, unit="calls/s", at_least=goals.published)
    for what, value, goal in (
        ("round trip back to back, p50", figures.round_trip_ms, goals.round_trip_ms),
        ("round trip back to back, p99", figures.round_trip_p99_ms, goals.round_trip_p99_ms),
        ("round trip after 50 ms of silence, p50", figures.rested_round_trip_ms, goals.rested_round_trip_ms),
        ("round trip after 50 ms of silence, p99", figures.rested_round_trip_p99_ms, None),
    ):
        yield Finding(what=what, value=value, unit=ms, at_most=goal)


def beside_peers(reached: Standing, standings: Sequence[Standing], goals: Goals) -> Iterator[Finding]:
    """Put it beside Celery and the fastest other peer on the same engine, as far as this run has measured them."""
    figures = reached.median
    if figures is None:
        return
    peers = {one.contender.name: one for one in standings if not one.contender.ours and one.median}
    celery = peers.pop(reached.contender.beside, None)
    if celery and celery.median:
        yield _times("drained", figures.drained_per_s, celery, "drained_per_s", goals.drained_beside_celery)
        yield _times("delay()", figures.published_per_s, celery, "published_per_s", goals.published_beside_celery)
    peers = {name: one for name, one in peers.items() if one.contender.servers == reached.contender.servers}
    if peers:
        best = max(peers.values(), key=lambda one: one.median.drained_per_s if one.median else 0)
        yield _times("drained", figures.drained_per_s, best, "drained_per_s", goals.drained_beside_best)


def _times(what: str, value: float, peer: Standing, field: str, at_least: float | None) -> Finding:
    theirs: float = getattr(peer.median, field)
    return Finding(what=f"{what}, beside {peer.contender.label}", value=value / theirs, unit="×", at_least=at_least)
