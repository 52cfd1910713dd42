"""Msgpack as Celery writes it: text as str, bytes as bin, nothing else that JSON does not have either.

msgspec writes it, but would write dates as extensions and sets, UUIDs and Decimals in its own way, which no other
reader of Celery's messages takes for what they were. So all that it is given is plain data.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

import msgspec

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire.jsontypes import UNREADABLE
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.values import Faults, Flattener, is_deeper

_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth


def dumps(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> bytes:
    """Write a value.

    Args:
        value: None, booleans, whole numbers of up to 64 bits, floats, text, bytes, and lists, tuples and dicts of
            these; the keys are text or bytes.
        name: what the value is called in errors.
        max_depth: arrays and maps inside each other.

    Raises:
        EncodeError: a part of it cannot be written; the text says which.
        MessageTooLarge: it is nested too deep.
    """
    try:
        return _encode(_FLATTENER.flatten(value, max_depth))
    except Exception as exc:  # `__json__` is code of users and raises what it likes
        _FAULTS.refuse(value, name, max_depth=max_depth, cure="flatten it, or raise message_max_depth")
        raise EncodeError(f"{name} cannot be written as msgpack: {exc}") from exc


def loads(data: bytes, *, max_depth: int = _MAX_DEPTH, name: str = "") -> Any:
    """Read a value. A timestamp, which others may write, is read as a datetime.

    Args:
        name: what errors call the data.

    Raises:
        DecodeError: it is not msgpack, is nested deeper than `max_depth`, or holds an unknown extension.
    """
    try:
        value = _decode(data)
    except UNREADABLE as exc:
        raise DecodeError(f"{name + ': ' if name else ''}{len(data)} bytes are not msgpack: {exc}") from exc
    if len(data) > max_depth and is_deeper(value, max_depth):
        raise DecodeError(f"{name + ': ' if name else ''}msgpack of {len(data)} bytes is nested over {max_depth} deep")
    return value


def _refuse_extension(code: int, data: memoryview) -> NoReturn:
    raise msgspec.DecodeError(f"extension {code} of {len(data)} bytes is unknown")


_FLATTENER: Final = Flattener(
    "msgpack",
    kinds=frozenset({type(None), bool, int, float, str, bytes}),
    keys=frozenset({str, bytes}),
)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ext_hook=_refuse_extension).decode
_FAULTS: Final = Faults(
    "msgpack", lambda value: _encode(_FLATTENER.flatten(value, _MAX_DEPTH)), keys=(str, bytes), key_words="text"
)
