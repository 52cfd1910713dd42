"""What was measured of celeriac alone, beside what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One figure of celeriac beside its goal.

    Attributes:
        what: what was measured.
        value: what came out.
        unit: of `value`.
        at_least: the goal, for what should be large.
        at_most: the goal, for what should be small.
    """

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None when there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The findings about one subject.

    Attributes:
        title: the subject.
        findings: in the order in which they are shown.
        troubles: what could not be measured, and why.
    """

    title: str
    findings: Sequence[Finding]
    troubles: Sequence[str] = ()
