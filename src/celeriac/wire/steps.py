"""The steps of a chain that a message carries past a run that needs only the next one of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, MutableSequence, Sequence
from copy import deepcopy
from typing import Any, Final, Self, overload

import msgspec

from celeriac.wire.jsontypes import dumps_text, loads


class _Head(msgspec.Struct, gc=False):
    task: str
    subtask_type: str | None = None


_read_heads: Final = msgspec.json.Decoder(list[_Head]).decode

_BETWEEN: Final = b", "

Buffer = bytes | memoryview


class Steps(MutableSequence[Any]):
    """Be the list of signatures that some JSON says, each of them read when somebody looks at it.

    What nobody has looked at is written as it came, and those without the last one are the beginning of the same text.
    So a message with 1,000 steps costs the run that it is for 1 ms, where reading and writing all steps takes 10.

    Args:
        parts: the JSON of each step, or what it says.
    """

    __slots__ = ("_are_checked", "_parts", "_text")

    def __init__(self, parts: Iterable[Any] = ()) -> None:
        self._parts = list(parts)
        self._text: memoryview | None = None  # of all of them, as long as nobody may have changed one
        self._are_checked = False

    def without_last(self) -> tuple[Self, Any]:
        """Return the others, and the last one."""
        last, others = self._parts[-1], type(self)(self._parts[:-1])
        if self._joined() and self._text is not None:
            others._text = self._text[: max(0, len(self._text) - len(memoryview(last)) - len(_BETWEEN))]
        others._are_checked = self._are_checked
        return others, _read(last)

    @property
    def are_untouched(self) -> bool:
        """True when they are what was read, and nobody has looked at one of them since."""
        return self._joined()

    def _joined(self) -> bool:
        """Have them as one text; False when some are not text any more."""
        if self._text is None and all(isinstance(part, msgspec.Raw) for part in self._parts):
            self._text = memoryview(_BETWEEN.join(self._parts))
        return self._text is not None

    def as_json(self, *, name: str, max_depth: int) -> Sequence[Buffer]:
        """Write them as JSON, in pieces.

        Raises:
            EncodeError: one that was added or changed cannot be written; the text begins with `name`.
        """
        if self._joined() and self._text is not None:
            return b"[", self._text, b"]"
        texts = [
            bytes(part)
            if isinstance(part, msgspec.Raw)
            else dumps_text(part, name=f"{name}[{at}]", max_depth=max_depth).encode()
            for at, part in enumerate(self._parts)
        ]
        return b"[", _BETWEEN.join(texts), b"]"

    def are_signatures(self, kinds: Container[str]) -> bool:
        """Say, without reading them, whether they are signatures: plain ones, or of these kinds.

        What was said once of what nobody has changed holds for those without the last one, too.
        """
        if self._are_checked:
            return True
        try:
            heads = _read_heads(msgspec.json.encode(self._parts))
        except (msgspec.DecodeError, TypeError):  # the latter for one that was added, and that JSON does not carry
            return False
        self._are_checked = all(not kind or kind in kinds for kind in {head.subtask_type for head in heads})
        return self._are_checked

    def _touch(self) -> None:
        """Take note that somebody may change one of them."""
        self._text = None
        self._are_checked = False

    def insert(self, index: int, value: Any) -> None:
        """Add a step before that of this index."""
        self._touch()
        self._parts.insert(index, value)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self._parts)))]
        self._touch()
        part = self._parts[index] = _read(self._parts[index])
        return part

    def __setitem__(self, index: Any, value: Any) -> None:
        self._touch()
        self._parts[index] = value

    def __delitem__(self, index: Any) -> None:
        self._touch()
        del self._parts[index]

    def __len__(self) -> int:
        return len(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (list, tuple, Steps)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __copy__(self) -> Self:
        copied = type(self)(self._parts)
        copied._text = self._text
        copied._are_checked = self._are_checked
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(part if isinstance(part, msgspec.Raw) else deepcopy(part, memo) for part in self._parts)

    def __json__(self) -> list[Any]:
        """Return what is to be written as JSON."""
        return list(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)

    def __repr__(self) -> str:
        return repr(list(self))


def _read(part: Any) -> Any:
    return loads(bytes(part), name="a step of a chain") if isinstance(part, msgspec.Raw) else part
