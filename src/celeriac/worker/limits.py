"""When runs may start: rate limits. What tasks say becomes seconds; the store gives the starts (`brokers/rates.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.app.task import Task
from celeriac.brokers.base import Booking, RateRequest, Release
from celeriac.worker.held import Held

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


class RateLimits:
    """Know which tasks have a rate limit that all nodes share.

    Args:
        tasks: those that are registered here.
        obeyed: False lets everything start at once (`worker_disable_rate_limits`).
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]], *, obeyed: bool = True) -> None:
        self._tasks = tasks
        self._obeyed = obeyed
        self._intervals: dict[str, float | None] = {}

    def interval_of(self, name: str) -> float | None:
        """Return the seconds between two starts of a task; None when it has no limit in the store."""
        try:
            return self._intervals[name]
        except KeyError:
            interval = self._intervals[name] = self._read(self._tasks[name])
            return interval

    def _read(self, task: Task[..., Any]) -> float | None:
        return interval_of(task.rate_limit) if self._obeyed and task.rate_limit_scope == "global" else None

    def requests_of(self, helds: Sequence[Held]) -> list[tuple[Held, RateRequest]]:
        """Return what the store is to be asked about some messages; nothing about those without a limit."""
        return [
            (held, RateRequest(held.intake.task, interval, held.delivery.booking))
            for held in helds
            if (interval := self.interval_of(held.intake.task)) is not None
        ]


def interval_of(rate: str | float | None) -> float | None:
    """Return the seconds from one start to the next: ``10/m`` is 6, the number 2 (per second) 0.5, 0 and None none."""
    if rate is None:
        return None
    count, _, unit = str(rate).partition("/")
    per_unit = float(count)
    return _SECONDS[unit or "s"] / per_unit if per_unit else None


def waiting_for(held: Held, booking: Booking, now: float) -> Release | None:
    """Keep a start with a message that has got one, and return its release until then; None when that is now."""
    held.delivery = msgspec.structs.replace(held.delivery, booking=booking)
    return Release(delivery=held.delivery, eta_at=booking.at) if booking.at > now else None
