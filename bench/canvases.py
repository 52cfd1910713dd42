"""What canvases cost on one engine, and on Redis beside Celery's of the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bench.contenders import CELERIAC_REDIS, CELERY, Contender
from bench.contest import Ring, trial
from bench.finding import Finding

LARGER: Final = 10
"""How many times larger the chord is that shows whether the supervisor's memory grows."""

_GOALS: Final[Mapping[str, tuple[str, int, int, float]]] = {
    # phase: what it is, our size, Celery's, our goal in times of its rate
    "group": ("group, built and published", 10_000, 2_000, 20),
    "chord": ("chord, to its end", 10_000, 1_000, 15),
    "chain": ("chain, to its end", 1_000, 1_000, 5),
}


def canvases(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Measure canvases on one engine; on Redis beside Celery's."""
    beside = engine is CELERIAC_REDIS and here.obstacle(CELERY) is None
    grown = {}
    for phase, (what, size, celery_size, times) in _GOALS.items():
        size = max(100, round(size * share))
        found = trial(here, engine, phase, size)
        per_s, grown[phase] = found["per_s"], found.get("grown_mb", 0.0)
        yield Finding(what=f"{what}, of {size:,}", value=per_s, unit="calls/s")
        if beside:
            # A chain costs the more per step the longer it is; the others do not.
            theirs = trial(here, CELERY, phase, size if phase == "chain" else max(100, round(celery_size * share)))
            yield Finding(what=f"{what}, beside Celery's", value=per_s / theirs["per_s"], unit="x", at_least=times)
    size = max(1_000, round(10_000 * share)) * LARGER
    # The first of them opens connections and fills caches, whatever its size.
    more = trial(here, engine, "chord", size)["grown_mb"] - grown["chord"]
    yield Finding(what=f"supervisor, more by a chord of {size:,} than by a tenth", value=more, unit="MB", at_most=20)
