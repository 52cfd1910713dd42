"""Two ways of publishing, in turns: what slows one slows the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

TURNS: Final = 10


def in_turns(ours: Callable[[int], None], bare: Callable[[int], None], count: int) -> tuple[list[float], list[float]]:
    """Return calls per second of each turn of both, `count` calls at a time."""
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS + 1):
        for publish, found in zip((ours, bare), rates, strict=True):
            begun_at = time.perf_counter()
            publish(count)
            if turn:  # the first opens connections and fills caches
                found.append(count / (time.perf_counter() - begun_at))
    return rates


def share_of(rates: list[float], bare: list[float]) -> float:
    """Return what one reaches of the other, in percent: the median of the turns."""
    return statistics.median(mine / theirs for mine, theirs in zip(rates, bare, strict=True)) * 100
