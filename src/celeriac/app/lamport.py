"""The logical clock of an app: it orders what processes say to each other, without looking at the time."""

from __future__ import annotations


class LamportClock:
    """Count what was said and heard. Threads that count at the same instant may get the same number.

    Attributes:
        value: as of the last thing said or heard.
    """

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def forward(self) -> int:
        """Count something that is said; return the number to send along."""
        self.value += 1
        return self.value

    def adjust(self, other: int) -> int:
        """Count something that was heard with a number; return the new value, which is above both."""
        self.value = max(self.value, other) + 1
        return self.value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.value}>"
