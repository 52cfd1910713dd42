"""JSON as Celery writes it, with kombu's tagged values for what JSON itself cannot say.

Encoding is the standard library's: the only encoder that asks before it writes a UUID, a datetime or NaN its own
way. Decoding is msgspec's, which keeps big integers exact, with the standard library behind it for what Python
writes and strict readers refuse: NaN, a byte order mark, lone surrogates.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from celeriac.exceptions import DecodeError, EncodeError, MessageTooLarge
from celeriac.wire.depth import is_text_deeper
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.values import Faults, is_deeper, stand_in

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises about bytes that are not JSON, or not of the wanted type."""

T = TypeVar("T")

_TAG: Final = "__type__"
_VALUE: Final = "__value__"
_TAGGED: Final = {_TAG, _VALUE}
_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth


def dumps(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> bytes:
    """Write a value as JSON, byte for byte as Celery does.

    Args:
        value: what JSON carries, plus what kombu tags (datetime, date, time, Decimal, UUID, bytes) and whatever has a
            `__json__` method.
        name: what the value is called in errors.
        max_depth: arrays and objects inside each other.

    Raises:
        EncodeError: a part of it cannot be written; the text says which.
        MessageTooLarge: it is nested too deep.
    """
    return dumps_text(value, name=name, max_depth=max_depth).encode()


def dumps_text(
    value: Any,
    *,
    name: str = "value",
    max_depth: int = _MAX_DEPTH,
    cure: str = "flatten it, or raise message_max_depth",
) -> str:
    """Write a value as `dumps` does, as ASCII text.

    Args:
        cure: what the error about too deep a value tells people to do.
    """
    try:
        text = _encode(value)
    except Exception as exc:  # `__json__` is code of users and raises what it likes
        _FAULTS.refuse(value, name, max_depth=max_depth, cure=cure)
        raise EncodeError(f"{name} cannot be written as JSON: {exc}") from exc
    if len(text) > 2 * max_depth and is_text_deeper(text.encode(), max_depth):
        raise MessageTooLarge(f"{name} is nested more than {max_depth} deep; {cure}")
    return text


def loads(data: bytes, *, max_depth: int = _MAX_DEPTH, name: str = "") -> Any:
    """Read JSON, tagged values included.

    Args:
        name: what errors call the data.

    Raises:
        DecodeError: it is not JSON, is nested deeper than `max_depth`, or holds a tagged value that cannot be made.
    """
    try:
        return _loads(data, max_depth)
    except DecodeError as exc:
        if not name:
            raise
        raise DecodeError(f"{name}: {exc}") from exc


def _loads(data: bytes, max_depth: int) -> Any:
    value = loads_untagged(data, max_depth=max_depth)
    return _read_tags(value) if may_have_tags(data) else value


def loads_untagged(data: bytes, *, max_depth: int = _MAX_DEPTH) -> Any:
    """Read JSON as `loads` does, but leave tagged values as the objects they are written as."""
    try:
        value = msgspec.json.decode(data)
        deeper = is_text_deeper(data, max_depth)
    except UNREADABLE:
        value = _loads_leniently(data)
        deeper = is_deeper(value, max_depth)
    if deeper:
        raise DecodeError(f"JSON of {len(data)} bytes is nested more than {max_depth} deep")
    return value


def convert(value: object, kind: type[T], *, name: str) -> T:
    """Check decoded JSON against a type, and return it as that type.

    Raises:
        DecodeError: it is something else; `name` says what was expected.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, UnicodeEncodeError) as exc:  # the latter for a lone surrogate in a wrong place
        raise DecodeError(f"{name}: {exc}") from exc


def may_have_tags(data: bytes) -> bool:
    """Say, from the bytes alone, whether there could be a tagged value in them."""
    return b'"__type__"' in data


def _loads_leniently(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise DecodeError(f"JSON of {len(data)} bytes is nested too deep to be read") from None
    except ValueError as exc:
        raise DecodeError(f"{bounded_repr(data[:80], limit=100)} is not JSON: {exc}") from exc


def _tag(name: str, value: object) -> dict[str, object]:
    return {_TAG: name, _VALUE: value}


def _encode_other(value: Any) -> object:
    own_form = getattr(value, "__json__", None)
    if own_form is not None:
        return own_form()
    for kind, tag, encode in _TYPES:
        if isinstance(value, kind):
            return encode(value) if tag is None else _tag(tag, encode(value))
    if isinstance(value, bytes):
        return _tag_bytes(value)
    return stand_in(value, serializer="JSON")


def _tag_bytes(value: bytes) -> dict[str, object]:
    try:
        return _tag("bytes", value.decode())
    except UnicodeDecodeError:
        return _tag("base64", base64.b64encode(value).decode())


def _encoder() -> Callable[[Any], str]:
    """Return the standard library's encoder, made once: `JSONEncoder.encode` makes one for every value (0.6 µs)."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return json.JSONEncoder(check_circular=False, default=_encode_other).encode
    write = json.encoder.encode_basestring_ascii
    chunks = make(None, _encode_other, write, None, ": ", ", ", False, False, True)
    return lambda value: "".join(chunks(value, 0))


_encode: Final = _encoder()
_FAULTS: Final = Faults("JSON", _encode, keys=(str, int, float, type(None)), key_words="text")


def _read_tags(value: Any) -> Any:
    """Make every tagged value, the innermost first."""
    if isinstance(value, list):
        return [_read_tags(item) for item in value]
    if not isinstance(value, dict):
        return value
    read = {key: _read_tags(item) for key, item in value.items()}
    return _make_tagged(read) if read.keys() == _TAGGED else read


def _make_tagged(tagged: Mapping[str, Any]) -> object:
    name, value = tagged[_TAG], tagged[_VALUE]
    make = _MAKERS.get(name) if isinstance(name, str) else None
    if make is None:
        raise DecodeError(f"tagged value of unknown type {bounded_repr(name, limit=80)}; known: {', '.join(_MAKERS)}")
    try:
        return make(value)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as exc:
        raise DecodeError(f"{bounded_repr(value, limit=80)} does not make a {name}: {exc}") from exc


_TYPES: list[tuple[type, str | None, Callable[[Any], object]]] = [
    (datetime, "datetime", datetime.isoformat),  # before date, which it is too
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
]
_MAKERS: dict[str, Callable[[Any], object]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda fields: UUID(**fields),
    "bytes": lambda text: text.encode(),
    "base64": lambda text: base64.b64decode(text.encode(), validate=True),
}


def register_type(
    kind: type[T], tag: str | None, encode: Callable[[T], object], decode: Callable[[Any], object] | None = None
) -> None:
    """Teach JSON one more type, in bodies and results, as kombu's function of this name does.

    Programs that read such values must have made the same call. Not for subclasses of what JSON has itself, such as
    text and dicts, nor for those of the types above.

    Args:
        kind: instances of it are written so, and those of its subclasses.
        tag: what marks such a value; None writes what `encode` returns without a mark, and so it arrives.
        encode: returns what JSON can carry.
        decode: makes the value of what was read; raises ValueError or TypeError about what is none.
    """
    _TYPES.append((kind, tag, encode))
    if tag is not None:
        _MAKERS[tag] = decode if decode is not None else lambda value: value
