"""The steps of a chain that a message carries past a run that needs only the next one of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, MutableSequence
from copy import deepcopy
from typing import Any, Final, Self, overload

import msgspec

from celeriac.wire.jsontypes import dumps_text, loads


class _Head(msgspec.Struct, gc=False):
    task: str
    subtask_type: str | None = None


_read_heads: Final = msgspec.json.Decoder(list[_Head]).decode


class Steps(MutableSequence[Any]):
    """Be the list of signatures that some JSON says, each of them read when somebody looks at it.

    What nobody has looked at is written as it came. So a message with 1,000 steps costs the run that it is for 1 ms,
    where reading and writing all steps takes 10.

    Args:
        parts: the JSON of each step, or what it says.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self._parts = list(parts)

    def without_last(self) -> tuple[Self, Any]:
        """Return the others, and the last one."""
        return type(self)(self._parts[:-1]), self[-1]

    def as_json(self, *, name: str, max_depth: int) -> str:
        """Write them as JSON.

        Raises:
            EncodeError: one that was added or changed cannot be written; the text begins with `name`.
        """
        texts = [
            bytes(part).decode()
            if isinstance(part, msgspec.Raw)
            else dumps_text(part, name=f"{name}[{at}]", max_depth=max_depth)
            for at, part in enumerate(self._parts)
        ]
        return f"[{', '.join(texts)}]"

    def are_signatures(self, kinds: Container[str]) -> bool:
        """Say, without reading them, whether they are signatures: plain ones, or of these kinds."""
        try:
            heads = _read_heads(msgspec.json.encode(self._parts))
        except (msgspec.DecodeError, TypeError):  # the latter for one that was added, and that JSON does not carry
            return False
        return all(not kind or kind in kinds for kind in {head.subtask_type for head in heads})

    def insert(self, index: int, value: Any) -> None:
        """Add a step before that of this index."""
        self._parts.insert(index, value)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self._parts)))]
        part = self._parts[index]
        if isinstance(part, msgspec.Raw):
            part = self._parts[index] = loads(bytes(part), name="a step of a chain")
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        self._parts[index] = value

    def __delitem__(self, index: Any) -> None:
        del self._parts[index]

    def __len__(self) -> int:
        return len(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, tuple, Steps)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __copy__(self) -> Self:
        return type(self)(self._parts)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(part if isinstance(part, msgspec.Raw) else deepcopy(part, memo) for part in self._parts)

    def __json__(self) -> list[Any]:
        """Return what is to be written as JSON."""
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def __repr__(self) -> str:
        return repr(list(self))
