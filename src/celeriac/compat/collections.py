"""What Celery has in `celery.utils.collections`: sets that forget, dictionaries with attributes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSet
from typing import Any, TypeVar

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class LimitedSet(MutableSet[T]):
    """Hold items for a time, and only so many of them; the oldest goes first.

    Args:
        maxlen: most items that are kept; 0 for any number.
        expires: seconds after which an item goes, which happens when another is added or `purge` is called; 0: never.
        data: what is in it from the start: items, or a map of items to the instants at which they were added.
        minlen: as many are kept even when they have expired.

    Raises:
        ValueError: not 0 <= minlen <= maxlen, or expires < 0.
    """

    def __init__(
        self,
        maxlen: int | None = 0,
        expires: float | None = 0,
        data: Iterable[T] | Mapping[T, float] | None = None,
        minlen: int | None = 0,
    ) -> None:
        self.maxlen = maxlen or 0
        self.expires = expires or 0
        self.minlen = minlen or 0
        if not 0 <= self.minlen <= self.maxlen:
            raise ValueError(f"minlen must be >= 0 and <= maxlen ({self.maxlen}), got {self.minlen}")
        if self.expires < 0:
            raise ValueError(f"expires must be >= 0 (0 = never), got {self.expires}")
        self._added_at: dict[T, float] = {}  # oldest first
        self.update(data or ())

    def add(self, value: T, now: float | None = None) -> None:
        """Add an item, or make one that is there new again.

        Args:
            now: the monotonic instant at which it was added; None for now.
        """
        instant = time.monotonic() if now is None else now
        self._added_at.pop(value, None)
        newest = next(reversed(self._added_at.values()), instant)
        self._added_at[value] = instant
        if instant < newest:
            self._added_at = dict(sorted(self._added_at.items(), key=lambda item: item[1]))
        self.purge()

    def update(self, other: Iterable[T] | Mapping[T, float]) -> None:
        """Add what another set, a map of items to instants, or anything else that can be iterated over holds."""
        if isinstance(other, LimitedSet):
            other = other.as_dict()
        if isinstance(other, Mapping):
            for item, instant in other.items():
                self.add(item, instant)
        else:
            for item in other:
                self.add(item)

    def discard(self, value: T) -> None:
        """Take an item out if it is there."""
        self._added_at.pop(value, None)

    pop_value = discard

    def clear(self) -> None:
        """Take everything out."""
        self._added_at.clear()

    def purge(self, now: float | None = None) -> None:
        """Take out what has expired or is too much.

        Args:
            now: a monotonic instant; None for now.
        """
        while self.maxlen and len(self) > self.maxlen:
            self.pop()
        expired = (time.monotonic() if now is None else now) - self.expires
        while self.expires and len(self) > self.minlen and next(iter(self._added_at.values())) <= expired:
            self.pop()

    def pop(self, default: Any = None) -> Any:
        """Take out the oldest item and return it, or `default` when there is none."""
        if not self._added_at:
            return default
        oldest = next(iter(self._added_at))
        del self._added_at[oldest]
        return oldest

    def as_dict(self) -> dict[T, float]:
        """Return the items with the instants at which they were added, oldest first."""
        return dict(self._added_at)

    def __contains__(self, item: object) -> bool:
        return item in self._added_at

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._added_at))

    def __len__(self) -> int:
        return len(self._added_at)

    def __eq__(self, other: object) -> bool:
        return self.as_dict() == other.as_dict() if isinstance(other, LimitedSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as that of a set

    def __repr__(self) -> str:
        return f"<LimitedSet({len(self)}): maxlen={self.maxlen}, expires={self.expires}, minlen={self.minlen}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.maxlen, self.expires, self.as_dict(), self.minlen)


class AttributeDictMixin:
    """Make the keys of a mapping its attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]  # type: ignore[index]  # mixed into a mapping
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class AttributeDict(dict[str, Any], AttributeDictMixin):
    """A dict whose keys are attributes too."""


def lpmerge(left: MutableMapping[K, V], right: Mapping[K, V | None]) -> MutableMapping[K, V]:
    """Take over into `left`, in place, what is not None in `right`, and return `left`."""
    left.update({key: value for key, value in right.items() if value is not None})
    return left
