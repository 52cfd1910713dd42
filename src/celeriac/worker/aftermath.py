"""What is called after a run whose process was killed, or died for good: hooks, errbacks, a signal.

The process of the run cannot call them any more, and the supervisor runs no code of users. So another child does, as if
it were a run, in a free slot, once. Nothing depends on it: the run is settled already, and whatever goes wrong here is
logged and forgotten.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from celeriac.brokers.base import Delivery
from celeriac.worker.held import Held, Holdings, TimeLimit, Verdict
from celeriac.worker.runs import Ended
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")

_LIMIT: Final = TimeLimit(60.0, None)
"""What hooks may take: they are no run, and nobody could end them."""


class Aftermath:
    """Have a free slot call what is to be called about runs that have ended without their process.

    Args:
        slots: where that happens.
        holdings: gives numbers; nothing of this is held.
    """

    def __init__(self, slots: Slots, holdings: Holdings) -> None:
        self._slots = slots
        self._holdings = holdings

    def of(self, held: Held, verdict: Verdict) -> None:
        """Have it called about one run."""
        delivery = msgspec.structs.replace(held.delivery, crashes=0, redelivered=False)
        ended = Ended(verdict.state, type(verdict.error).__name__, verdict.error.args)
        number = self._holdings.new_number()
        self._slots.add([_held(number, delivery, held, ended)])
        self._slots.dispatch()

    def give_up(self, held: Held) -> None:
        """Say that it was not called: this node stops, or the child died that did it."""
        facts = held.intake
        logger.warning(
            "hooks and errbacks of %s[%s] were not called, or not all: the process ended that was to do it",
            facts.task,
            facts.id,
        )


def _held(number: int, delivery: Delivery, of: Held, ended: Ended) -> Held:
    # As one that was acked: it goes to no other node.
    return Held(number, delivery, of.intake, of.claimed_at, float("inf"), acked=True, time_limit=_LIMIT, ended=ended)
