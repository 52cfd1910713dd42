"""For how long records are kept."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from celeriac.states import FAILURE


class Lifetimes(msgspec.Struct, frozen=True):
    """Say for how many seconds records are kept; None is for ever.

    Attributes:
        failure: of records whose state is FAILURE.
        other: of all others.
    """

    other: float | None
    failure: float | None

    @classmethod
    def of(cls, expires: float | None, failure_expires: float | None) -> Lifetimes:
        """Make them of `result_expires` (None or 0: for ever) and `result_failure_expires` (None: the same)."""
        return cls(expires or None, (expires if failure_expires is None else failure_expires) or None)

    def ends(self, now: float) -> Callable[[str], float | None]:
        """Return what tells, for a state, the unix instant until which a record of now is kept."""
        other = None if self.other is None else now + self.other
        if self.failure == self.other:
            return lambda state: other
        failure = None if self.failure is None else now + self.failure
        return lambda state: failure if state == FAILURE else other
