"""Kinds of values that name serializers and compressions."""

from __future__ import annotations

from typing import Any, Final

from celeriac.app.kinds import TEXT_LIST, Kind
from celeriac.wire import compression, serializers

_BUILT_IN: Final = ", ".join(repr(serializer.name) for serializer in serializers.BUILT_IN)


def _serializer(value: Any) -> str:
    try:
        serializers.serializer_named(value)
    except (LookupError, TypeError):
        raise ValueError from None
    return str(value)


def _contents(value: Any) -> tuple[str, ...]:
    names = TEXT_LIST.accept(value)
    if not names:
        raise ValueError
    return tuple(map(_serializer, names))


def _compression(value: Any) -> str:
    if not isinstance(value, str) or not compression.is_known(value):
        raise ValueError
    return value


SERIALIZER: Final[Kind[str]] = Kind(
    f"one of {_BUILT_IN}, or of the serializers that were registered before", _serializer, examples=("json", "msgpack")
)

CONTENTS: Final[Kind[tuple[str, ...]]] = Kind(
    f"a list of {_BUILT_IN}, their content types, or serializers that were registered before",
    _contents,
    examples=(["json"], ["json", "application/x-msgpack"]),
    from_text=TEXT_LIST.from_text,
)

COMPRESSION: Final[Kind[str]] = Kind(
    f"one of {', '.join(map(repr, compression.names()))}, or of those that were registered before",
    _compression,
    examples=("gzip", "zstd"),
)
