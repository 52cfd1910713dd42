"""When runs may begin: limits that all nodes share. What tasks say becomes requests to the store, which decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.app.task import Task
from celeriac.app.timing import interval_of
from celeriac.brokers.base import Booking, RateRequest, Release, Room
from celeriac.wire.protocol import Intake
from celeriac.worker.held import Held

_NONE: Final = (None, None)


class Limits:
    """Know which tasks have limits that all nodes share: of rate, and of runs at a time.

    Args:
        tasks: those that are registered here.
        rates_obeyed: False lets everything start at once (`worker_disable_rate_limits`).

    Attributes:
        any: some task has one; without any nothing is asked about single messages.
    """

    def __init__(self, tasks: Mapping[str, Task[..., Any]], *, rates_obeyed: bool = True) -> None:
        self._tasks = tasks
        self._rates_obeyed = rates_obeyed
        self._of_tasks = {name: self._read(task) for name, task in tasks.items()}
        self.any = any(limits != _NONE for limits in self._of_tasks.values())

    def none_for(self, name: str) -> bool:
        """Say whether a task has no such limit."""
        return self._of(name) == _NONE

    def _of(self, name: str) -> tuple[float | None, int | None]:
        try:
            return self._of_tasks[name]
        except KeyError:
            limits = self._of_tasks[name] = self._read(self._tasks[name])
            return limits

    def _read(self, task: Task[..., Any]) -> tuple[float | None, int | None]:
        obeyed = self._rates_obeyed and task.rate_limit_scope == "global"
        return interval_of(task.rate_limit) if obeyed else None, task.concurrency_limit

    def reread(self, name: str) -> None:
        """Learn that the limits of a task have changed."""
        self._of_tasks[name] = self._read(self._tasks[name])
        self.any = any(limits != _NONE for limits in self._of_tasks.values())

    def requests_of(self, helds: Sequence[Held]) -> list[tuple[Held, RateRequest]]:
        """Return what the store is to be asked about the starts of some messages."""
        return [
            (held, RateRequest(held.intake.task, interval, held.delivery.booking))
            for held in helds
            if (interval := self._of(held.intake.task)[0]) is not None
        ]

    def room_of(self, facts: Intake) -> Room | None:
        """Return what a run has to enter before it begins, or None."""
        limit = self._of(facts.task)[1]
        return None if limit is None else Room(facts.room_key or facts.task, limit)


def limits_over_all_nodes(tasks: Iterable[Task[..., Any]], *, rates_obeyed: bool = True) -> list[str]:
    """Name what tasks say that holds over all nodes, which a broker must keep: ``shop.pay (unique_for)``."""
    found = []
    for task in tasks:
        said = ["unique_for"] if task.unique_for else []
        if rates_obeyed and task.rate_limit_scope == "global" and interval_of(task.rate_limit) is not None:
            said.append("rate_limit_scope='global'")
        if task.concurrency_limit is not None:
            said.append("concurrency_limit")
        if said:
            found.append(f"{task.name} ({', '.join(said)})")
    return sorted(found)


def waiting_for(held: Held, booking: Booking, now: float) -> Release | None:
    """Keep a start with a message that has got one, and return its release until then; None when that is now."""
    held.delivery = msgspec.structs.replace(held.delivery, booking=booking)
    return Release(delivery=held.delivery, eta_at=booking.at) if booking.at > now else None
