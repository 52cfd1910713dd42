"""What has to be read anew in a node when limits of a task change while it runs."""

from __future__ import annotations

from collections.abc import Callable

from celeriac.worker.held import Holdings
from celeriac.worker.limits import Limits
from celeriac.worker.node_rates import NodeRates
from celeriac.worker.slots import Slots
from celeriac.worker.time_limits import TimeLimits


class LimitChanges:
    """Have changed limits obeyed.

    Args:
        noted: called after rate limits were read anew.
    """

    def __init__(
        self,
        *,
        shared: Limits,
        node_rates: NodeRates,
        time_limits: TimeLimits,
        holdings: Holdings,
        slots: Slots,
        noted: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._node_rates = node_rates
        self._time_limits = time_limits
        self._holdings = holdings
        self._slots = slots
        self._noted = noted

    def reread_rates(self, task: str) -> None:
        """Obey the rate limit that a task has now, for all that is claimed from now on."""
        self._shared.reread(task)
        self._node_rates.reread(task)
        self._noted()

    def reread_times(self, task: str) -> None:
        """Obey the time limits that a task has now, for all that has not gone to a child yet."""
        self._time_limits.reread(task)
        sent = {held.number for held in self._slots.with_children()}
        for held in self._holdings.all():
            if held.intake.task == task and held.number not in sent:
                held.time_limit = self._time_limits.of(held.intake)
