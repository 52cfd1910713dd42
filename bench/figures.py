"""What one trial found, and the middle of several."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields

from bench.contenders import Contender


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One contender in one round, or the medians of its rounds.

    Attributes:
        drained_per_s: tasks that two processes finish in a second, results stored, while the queue is full.
        published_per_s: calls that one process makes in a second, one after the other.
        round_trip_ms: median from the call to its result, back to back.
        round_trip_p99_ms: the slowest hundredth of them.
        rested_round_trip_ms: median after 50 ms in which nothing happened.
        rested_round_trip_p99_ms: the slowest hundredth of those.
        worker_mb: private memory of all processes of the worker.
    """

    drained_per_s: float
    published_per_s: float
    round_trip_ms: float
    round_trip_p99_ms: float
    rested_round_trip_ms: float
    rested_round_trip_p99_ms: float
    worker_mb: float


@dataclass(slots=True, kw_only=True)
class Standing:
    """A contender and what it has reached so far; `trouble` says why it has no figures, or no more of them."""

    contender: Contender
    rounds: list[Figures]
    trouble: str | None = None

    @property
    def median(self) -> Figures | None:
        return median_of(self.rounds) if self.rounds else None


def median_of(rounds: Sequence[Figures]) -> Figures:
    """Return the median of every figure by itself."""
    return Figures(
        **{
            field.name: statistics.median(getattr(figures, field.name) for figures in rounds)
            for field in fields(Figures)
        }
    )
