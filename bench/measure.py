"""Clocks and middles: how a rate, a latency and their medians are taken. Nothing here knows who is measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

WARM_UP_SHARE: Final = 0.05


class Stuck(Exception):
    """What was waited for did not come in its time."""


class Latency(NamedTuple):
    """Middle and near-worst of a row of calls, in milliseconds."""

    p50_ms: float
    p99_ms: float


def rate(publish: Callable[[int], None], count: int, *, warm_up: int) -> float:
    """Return calls per second over `count` calls, after `warm_up` more that open connections and fill caches."""
    publish(warm_up)
    begun_at = time.perf_counter()
    publish(count)
    return count / (time.perf_counter() - begun_at)


def drain_rate(
    finished: Callable[[], int], count: int, *, timeout: float, until: float = 1.0, look_every: float = 0.01
) -> float:
    """Return tasks per second from about the twentieth part finished to the share `until`.

    So neither the start of the worker nor its first connection counts. Before the end a look that comes late costs no
    accuracy, and the looks themselves can be rarer.

    Raises:
        Stuck: not so many were finished within `timeout` seconds.
    """
    deadline_at = time.monotonic() + timeout
    first, begun_at = _reach(finished, max(1, round(count * WARM_UP_SHARE)), deadline_at, look_every)
    last, ended_at = _reach(finished, round(count * until), deadline_at, look_every)
    if last == first:
        raise Stuck(f"all {count} tasks ended between two looks; queue more of them")
    return (last - first) / (ended_at - begun_at)


def _reach(finished: Callable[[], int], wanted: int, deadline_at: float, look_every: float) -> tuple[int, float]:
    while (done := finished()) < wanted:
        if time.monotonic() > deadline_at:
            raise Stuck(f"{done} tasks had finished when the time was up, not {wanted}")
        time.sleep(look_every)
    return done, time.perf_counter()


def latency(call: Callable[[], None], count: int, *, silence: float, at_most: float, warm_up: int = 10) -> Latency:
    """Time `count` calls, fewer when `at_most` seconds are over, each after `silence` seconds of nothing."""
    for _ in range(warm_up):
        call()
    taken_ms: list[float] = []
    deadline_at = time.monotonic() + at_most
    while len(taken_ms) < count and (len(taken_ms) < 2 or time.monotonic() < deadline_at):
        time.sleep(silence)
        begun_at = time.perf_counter()
        call()
        taken_ms.append((time.perf_counter() - begun_at) * 1e3)
    return Latency(statistics.median(taken_ms), statistics.quantiles(taken_ms, n=100, method="inclusive")[98])
