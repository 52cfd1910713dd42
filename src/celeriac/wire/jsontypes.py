"""JSON as Celery writes it, with kombu's tagged values for what JSON itself cannot say.

Encoding is the standard library's: the only encoder that asks before it writes a UUID, a datetime or NaN its own
way. Decoding is msgspec's, which keeps big integers exact, with the standard library behind it for what Python
writes and strict readers refuse: NaN, a byte order mark, lone surrogates.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from celeriac.exceptions import DecodeError, EncodeError, MessageTooLarge
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.reprs import bounded_repr

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


def dumps_text(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> str:
    """Write a value as `dumps` does, as ASCII text."""
    try:
        text = _encode(value)
    except Exception as exc:  # `__json__` and `default` run code of users
        raise EncodeError(_find_fault(value, name, ()) or f"{name} cannot be written as JSON: {exc}") from exc
    if text.count("[") + text.count("{") > max_depth and _is_deeper(json.loads(text), max_depth):
        raise MessageTooLarge(f"{name} is nested more than {max_depth} deep; flatten it or raise message_max_depth")
    return text


def loads(data: bytes, *, max_depth: int = _MAX_DEPTH) -> Any:
    """Read JSON, tagged values included.

    Raises:
        DecodeError: it is not JSON, is nested deeper than `max_depth`, or holds a tagged value that cannot be made.
    """
    value = loads_untagged(data, max_depth=max_depth)
    if b'"__type__"' in data:
        return _read_tags(value)
    return value


def loads_untagged(data: bytes, *, max_depth: int = _MAX_DEPTH) -> Any:
    """Read JSON as `loads` does, but leave tagged values as the objects they are written as."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _loads_leniently(data)
    if data.count(b"[") + data.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise DecodeError(f"JSON of {len(data)} bytes is nested more than {max_depth} deep")
    return value


def _loads_leniently(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise DecodeError(f"JSON of {len(data)} bytes is nested too deep to be read") from None
    except ValueError as exc:
        raise DecodeError(f"{bounded_repr(data[:80])} is not JSON: {exc}") from exc


def _is_deeper(value: Any, max_depth: int) -> bool:
    """Look level by level, so that no depth of the value exhausts the stack."""
    level = [value]
    for _ in range(max_depth + 1):
        level = [
            item
            for outer in level
            if isinstance(outer, (list, dict))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(item, (list, dict)) for item in level)


# --- Writing: what the encoder asks about -------------------------------------------------------------------------


def _tag(name: str, value: object) -> dict[str, object]:
    return {_TAG: name, _VALUE: value}


def _encode_other(value: Any) -> object:
    own_form = getattr(value, "__json__", None)
    if own_form is not None:
        return own_form()
    match value:
        case datetime():  # before date, which it is too
            return _tag("datetime", value.isoformat())
        case date():
            return _tag("date", value.isoformat())
        case time():
            return _tag("time", value.isoformat())
        case Decimal():
            return _tag("decimal", str(value))
        case UUID():
            return _tag("uuid", {"hex": value.hex})
        case bytes():
            return _tag_bytes(value)
    if _is_lazy_text(value):
        return str(value)
    raise TypeError(f"JSON cannot carry a {type(value).__qualname__}")


def _tag_bytes(value: bytes) -> dict[str, object]:
    try:
        return _tag("bytes", value.decode())
    except UnicodeDecodeError:
        return _tag("base64", base64.b64encode(value).decode())


def _is_lazy_text(value: object) -> bool:
    """Say whether this is Django's translated-later text, without importing Django."""
    module = sys.modules.get("django.utils.functional")
    return module is not None and isinstance(value, module.Promise)


_encode: Final = json.JSONEncoder(check_circular=False, default=_encode_other).encode


def _find_fault(value: object, path: str, above: tuple[object, ...]) -> str | None:
    """Say which part of a value cannot be written, and why; None when each part can."""
    if any(value is outer for outer in above):
        return f"{path} contains itself"
    if len(above) > _MAX_DEPTH:
        return f"{path[:200]}... is nested too deep for JSON"
    if isinstance(value, dict):
        return _find_fault_in_dict(value, path, above)
    if isinstance(value, (list, tuple)):
        faults = (_find_fault(item, f"{path}[{index}]", (*above, value)) for index, item in enumerate(value))
        return next(filter(None, faults), None)
    try:
        _encode(value)
    except Exception as exc:  # noqa: BLE001 - the text that is made of it names the part
        return f"{path} is {bounded_repr(value, limit=80)}, which cannot be written as JSON: {exc}"
    return None


def _find_fault_in_dict(value: Mapping[Any, object], path: str, above: tuple[object, ...]) -> str | None:
    for key, item in value.items():
        if not isinstance(key, (str, int, float, bool, type(None))):
            return f"{path} has the key {bounded_repr(key, limit=80)}; JSON has only text for keys"
        fault = _find_fault(item, f"{path}[{bounded_repr(key, limit=80)}]", (*above, value))
        if fault is not None:
            return fault
    return None


# --- Reading: what a tag makes ------------------------------------------------------------------------------------


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


_MAKERS: Final[dict[str, Callable[[Any], object]]] = {
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda fields: UUID(**fields),
    "bytes": lambda text: text.encode(),
    "base64": lambda text: base64.b64decode(text.encode(), validate=True),
}
