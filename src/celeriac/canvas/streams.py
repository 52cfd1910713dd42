"""Members of a group that come out of a generator: made when they are needed, and not all kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, overload

KEPT: Final = 10_000
"""Members that are kept while they are sent; of more, a group of a million would take a gigabyte."""


class Stream(Sequence[Any]):
    """Be the list of what a generator yields, without making it before somebody looks.

    Whoever walks over it by `passing` gets each member once. The first `KEPT` of them are remembered; when there were
    more, nothing can be read from it a second time.

    Args:
        source: what yields the members.
        read: makes a member of what it yields.
    """

    def __init__(self, source: Iterable[Any], read: Callable[[Any], Any]) -> None:
        self._source: Iterator[Any] | None = map(read, source)
        self._made: list[Any] = []
        self._is_used_up = False

    def passing(self) -> Iterator[Any]:
        """Yield the members; of more than `KEPT` only once."""
        self._check()
        yield from self._made
        for member in self._source or ():
            if len(self._made) < KEPT:
                self._made.append(member)
            else:
                self._is_used_up = True
            yield member
        self._source = None
        if self._is_used_up:
            self._made.clear()

    def whole(self) -> list[Any]:
        """Return all members, which are kept from now on."""
        self._check()
        if self._source is not None:
            self._made.extend(self._source)
            self._source = None
        return self._made

    def first(self) -> Any:
        """Return the first member, or None; no others are made."""
        return self._made[0] if self and self._made else None

    def has_several(self) -> bool:
        """Say whether there are two members or more, of which no others are made."""
        self._check()
        if self._source is not None and len(self._made) < 2:
            self._made.extend(islice(self._source, 2 - len(self._made)))
        return len(self._made) > 1

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.whole()[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self.whole()[index] = value

    def __len__(self) -> int:
        return len(self.whole())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.whole())

    def __bool__(self) -> bool:
        if self._source is not None and not self._made:
            self._made.extend(islice(self._source, 1))
        return bool(self._made) or self._is_used_up

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, tuple, Stream)) and self.whole() == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __json__(self) -> list[Any]:
        """Return what is to be written as JSON."""
        return self.whole()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.whole(),)

    def __repr__(self) -> str:
        return repr(self.whole())

    def _check(self) -> None:
        if self._is_used_up:
            raise RuntimeError(
                f"the generator of this group has been used up: of more than {KEPT} members none is kept. Make the "
                "group anew, or of a list"
            )
