"""Rate limits of one node (`rate_limit_scope="node"`, as Celery's are). Pure: the time comes in, the decision goes out.

A run starts when its task's next start has come. What comes before that is put aside in the store, not held here: so it
blocks nothing, and a stop has nothing to give back. When it comes back depends on how many were put aside before it.
Who is to start within `SURE_SECONDS` comes at that time; others at half of their way, so that there is always somebody
to start, also for nodes that come later: of those that come, one half starts. That makes two more claims for each
message, however long the line is.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any, Final

from celeriac.app.task import Task
from celeriac.app.timing import interval_of

SURE_SECONDS: Final = 2.0
"""Who starts within this time is put aside until then, not for half of it."""

SHORTEST_SECONDS: Final = 0.02
"""Nobody is put aside for less."""

TOGETHER_SECONDS: Final = 0.05
"""Starts that lie closer than this may be made together, so that messages which were claimed together are."""

LATE_MAX: Final = 1.0
"""A start that is late by half of an interval, and at most so many seconds, does not move those after it."""

_COUNTED_MAX: Final = 100_000


class Bucket:
    """Count the starts of one task.

    Args:
        interval: seconds from one start to the next.
    """

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._next_at = float("-inf")
        self._aside: list[float] = []

    def take(self, now: float) -> float | None:
        """Take a start; None when there was one, else the unix instant at which to ask again."""
        aside = self._aside
        while aside and aside[0] <= now:  # it has come back, here or elsewhere
            heappop(aside)
        interval = self.interval
        if self._next_at <= now + (TOGETHER_SECONDS if interval < TOGETHER_SECONDS else 0.0):
            late = max(min(interval / 2, LATE_MAX), TOGETHER_SECONDS)
            self._next_at = (self._next_at if now - self._next_at <= late else now) + interval
            return None
        wait = self._next_at - now + len(aside) * interval
        back_at = now + max(wait if wait <= SURE_SECONDS else max(wait / 2, SURE_SECONDS), SHORTEST_SECONDS)
        if len(aside) < _COUNTED_MAX:
            heappush(aside, back_at)
        return back_at


class NodeRates:
    """Know which tasks have a rate limit for each node, and when they may start here.

    Args:
        tasks: those that are registered here.
        rates_obeyed: False lets everything start at once (`worker_disable_rate_limits`).

    Attributes:
        any: some task has one; without any nothing is asked about single messages.
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]], *, rates_obeyed: bool = True) -> None:
        self._tasks = tasks
        self._obeyed = rates_obeyed
        self._buckets: dict[str, Bucket | None] = {}
        self.any = any(self._bucket(name) is not None for name in list(tasks))

    def none_for(self, name: str) -> bool:
        """Say whether a task has no such limit."""
        return self._bucket(name) is None

    def take(self, name: str, now: float) -> float | None:
        """Take a start of a task; None when it may start now, else the unix instant at which to ask again."""
        bucket = self._bucket(name)
        return None if bucket is None else bucket.take(now)

    def reread(self, name: str) -> None:
        """Learn that the rate limit of a task has changed. What was put aside comes back when it was to come."""
        self._buckets.pop(name, None)
        self.any = any(self._bucket(one) is not None for one in list(self._tasks))

    def _bucket(self, name: str) -> Bucket | None:
        try:
            return self._buckets[name]
        except KeyError:
            task = self._tasks[name]
            here = self._obeyed and task.rate_limit_scope == "node"
            interval = interval_of(task.rate_limit) if here else None
            bucket = self._buckets[name] = None if interval is None else Bucket(interval)
            return bucket
