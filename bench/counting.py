"""What the members and steps of canvases do."""

from __future__ import annotations


def inc(number: int) -> int:
    """Be a member or a step."""
    return number + 1


def count(values: list[int]) -> int:
    """Be the body of a chord."""
    return len(values)
