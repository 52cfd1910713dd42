"""Ids of a large group: sixteen bytes each, made texts when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload


class PackedIds(Sequence[str]):
    """Hold ids of runs in the order of their addition: 16 bytes for a UUID, where its text takes 85.

    Ids of another form are kept as they are; then all of them are.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._packed = bytearray()
        self._texts: list[str] | None = None
        for each in ids:
            self.append(each)

    def append(self, id: str) -> None:
        """Add an id."""
        if self._texts is None:
            packed = _packed(id)
            if packed is not None:
                self._packed += packed
                return
            self._texts = list(self)
            self._packed.clear()
        self._texts.append(id)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if self._texts is not None:
            return self._texts[index]
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"there are {length} ids, and none at {index}")
        return self._at(index % length)

    def __len__(self) -> int:
        return len(self._packed) // 16 if self._texts is None else len(self._texts)

    def __iter__(self) -> Iterator[str]:
        if self._texts is not None:
            return iter(self._texts)
        return map(self._at, range(len(self)))

    def _at(self, index: int) -> str:
        digits = self._packed[16 * index : 16 * index + 16].hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _packed(id: str) -> bytes | None:
    """Return the bytes of a UUID, or None for what would not become the same text again."""
    if len(id) != 36 or id[8] != "-" or id[13] != "-" or id[18] != "-" or id[23] != "-" or id != id.lower():
        return None
    try:
        packed = bytes.fromhex(id.replace("-", ""))
    except ValueError:
        return None
    return packed if len(packed) == 16 else None
