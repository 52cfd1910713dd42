"""Which claims were handed to children, as far as Redis does not know it yet.

The death of a node counts against what it had handed to children. Redis is told with the next call that is made anyway,
so what has ended by then costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Notes:
    """Gather the tags of what has begun and ended."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._told: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._begun or self._ended)

    def begin(self, tag: int) -> None:
        if tag not in self._told:
            self._begun.add(tag)

    def end(self, tag: int) -> None:
        self._begun.discard(tag)
        if tag in self._told:
            self._told.discard(tag)
            self._ended.add(tag)

    def clear(self) -> None:
        self._begun.clear()
        self._ended.clear()
        self._told.clear()

    @contextmanager
    def taken(self) -> Iterator[tuple[str, str]]:
        """Yield what to tell, as texts for scripts; it counts as told when the block ends well."""
        begun, self._begun = self._begun, set()
        ended, self._ended = self._ended, set()
        if not begun and not ended:
            yield "", ""
            return
        self._told |= begun
        try:
            yield " ".join(map(str, begun)), " ".join(map(str, ended))
        except BaseException:
            # Nobody knows what was heard: what goes on is told again, and what ended meanwhile is taken back.
            self._begun |= begun & self._told
            self._told -= begun
            self._ended |= ended
            raise
