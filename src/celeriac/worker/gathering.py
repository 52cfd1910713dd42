"""Decide for how long the end of a run waits for others, to be stored in one transaction with them. Pure."""

from __future__ import annotations

from typing import Final

from celeriac.worker.dispatch import SHORT_SECONDS

WORTH_SETTLING: Final = 32
"""Endings for which a transaction is worth while as it is."""

_SHORT_WAIT: Final = 0.002
_LONGEST_WAIT: Final = 0.02
_SHARE: Final = 2
_WORTH_WAITING: Final = 2.0


def gather_seconds(behind: int, mean: float, bodies: int) -> float:
    """Return for how many seconds an ending may wait; 0 where that is not worth while.

    Only where messages wait for a body, and then for a part of the time for which they will: nobody's result is late
    beside that, and what runs last waits for nothing. A transaction, and the wake-up that it needs, takes a processor
    from the runs beside it.

    Args:
        behind: messages in this node that wait for a body.
        mean: seconds that a run takes here (`inf`: not known yet).
        bodies: how many run at once.
    """
    if mean < SHORT_SECONDS:
        return _SHORT_WAIT if behind >= WORTH_SETTLING else 0.0
    if not behind or not bodies:
        return 0.0
    each = mean / bodies
    wait = min(behind * each / _SHARE, _LONGEST_WAIT)
    return wait if wait >= each * _WORTH_WAITING else 0.0
