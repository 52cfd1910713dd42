"""Keep low priorities from waiting for ever: now and then a claim begins with one of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Aging:
    """Say which claims are not strictly by priority (`worker_priority_aging`).

    Args:
        every: one claim in so many begins with a lower priority than the first; None: none does.
    """

    def __init__(self, every: int | None = None) -> None:
        self._every = every
        self._claims = 0
        self._turns = 0

    def turn(self) -> int:
        """Count a claim; return 0 when it is strictly by priority, else the number of its turn, from 1."""
        if not self._every:
            return 0
        self._claims += 1
        if self._claims % self._every:
            return 0
        self._turns += 1
        return self._turns


def lower_in_turn(steps: Sequence[T], turn: int) -> T | None:
    """Return one of the priorities below the first, each in its turn; None where there is only one, or none.

    Args:
        steps: those of which there is something, the one that is served first in front.
        turn: from `Aging.turn`.
    """
    return steps[1 + (turn - 1) % (len(steps) - 1)] if len(steps) > 1 and turn else None
