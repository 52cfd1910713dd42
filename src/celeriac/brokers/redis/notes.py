"""Which claims were handed to children, as far as Redis does not know it yet.

The death of a node counts against what it had handed to children. Redis is told of those that last, with calls that are
made anyway, and what ends within 50 ms costs nothing: telling of all of them took a third of what a run costs Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from time import monotonic
from typing import Final

TELL_WITHIN: Final = 0.05
"""Seconds after which Redis is to know what was handed to a child."""

_URGENT: Final = float("-inf")


class Notes:
    """Gather the tags of what has begun and ended."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}
        self._ended: set[int] = set()
        self._told: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._begun or self._ended)

    @property
    def are_due(self) -> bool:
        """Say whether something has ended that Redis was told of, or has lasted."""
        return bool(self._ended) or next(iter(self._begun.values()), float("inf")) <= monotonic() - TELL_WITHIN

    def begin(self, tag: int, *, urgent: bool = False) -> None:
        """Note that a claim is with a child; an urgent one is told with the next call, whenever that is."""
        if tag in self._told:
            return
        if urgent:
            self._begun = {tag: _URGENT, **self._begun}  # those to be told next are in front
        else:
            self._begun[tag] = monotonic()

    def end(self, tag: int) -> None:
        self._begun.pop(tag, None)
        if tag in self._told:
            self._told.discard(tag)
            self._ended.add(tag)

    def clear(self) -> None:
        self._begun.clear()
        self._ended.clear()
        self._told.clear()

    @contextmanager
    def taken(self, *, all_of_them: bool = False) -> Iterator[tuple[str, str]]:
        """Yield what to tell, as texts for scripts; it counts as told when the block ends well.

        Args:
            all_of_them: also tell what has begun just now.
        """
        if not self:
            yield "", ""
            return
        until = float("inf") if all_of_them else monotonic() - TELL_WITHIN
        begun = dict(takewhile(lambda note: note[1] <= until, self._begun.items()))
        ended, self._ended = self._ended, set()
        for tag in begun:
            del self._begun[tag]
        self._told.update(begun)
        try:
            yield " ".join(map(str, begun)), " ".join(map(str, ended))
        except BaseException:
            # Nobody knows what was heard: what goes on is told again, and what ended meanwhile is taken back.
            again = {tag: at for tag, at in begun.items() if tag in self._told}
            self._begun = again | self._begun
            self._told.difference_update(begun)
            self._ended |= ended
            raise
