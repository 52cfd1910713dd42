"""Tables and properties as AMQP 0-9-1 writes them, with the letters of RabbitMQ and its clients. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from celeriac.brokers.amqp.carried import Carried
from celeriac.exceptions import EncodeError

UNREAD: Final = "x-celeriac-unread"
"""Header that stands for all others where they cannot be read: the bytes of the properties, as Latin-1."""

_short: Final = struct.Struct(">H").unpack_from
_long: Final = struct.Struct(">I").unpack_from
_longlong: Final = struct.Struct(">Q").unpack_from
_pack_short: Final = struct.Struct(">H").pack
_pack_long: Final = struct.Struct(">I").pack
_pack_longlong: Final = struct.Struct(">Q").pack
_pack_text: Final = struct.Struct(">cI").pack
_pack_int: Final = struct.Struct(">ci").pack
_pack_large_int: Final = struct.Struct(">cq").pack
_pack_float: Final = struct.Struct(">cd").pack

_UNREADABLE: Final = (struct.error, IndexError, KeyError, ValueError, OverflowError, OSError, RecursionError)
_SHORT_MAX: Final = 255
_INT_MAX: Final = 2**31 - 1
_MILLISECONDS_FROM: Final = 0xFFFFFFFF
"""Timestamps above this, the year 2106, are taken for milliseconds."""


# -- reading ----------------------------------------------------------------------------------------------------------


def read_properties(data: bytes, body: bytes) -> Carried:
    """Read the properties of a message; when headers cannot be read, all are kept as a header, whole.

    Of the others an id is told then, too, but no content type: nobody is to run this.
    """
    try:
        (flags,) = _short(data, 0)
        at = 2
        headers: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        for flag, name, read, _ in _PROPERTIES:
            if flags & flag:
                value, at = read(data, at)
                if name == "headers":
                    headers = value
                else:
                    properties[name] = value
        return Carried(headers, properties, body)
    except _UNREADABLE:
        return Carried(unread(data), _id_behind_headers(data), body)


def _id_behind_headers(data: bytes) -> dict[str, Any]:
    """Return the correlation id, when it stands behind headers that cannot be read: these say how long they are."""
    try:
        (flags,) = _short(data, 0)
        at = 2
        for flag, name, read, _ in _PROPERTIES:
            if not flags & flag:
                continue
            value, at = _read_bytes(data, at) if name == "headers" else read(data, at)
            if at > len(data):
                break
            if name == "correlation_id":
                return {name: value}
    except _UNREADABLE:
        pass
    return {}


def unread(properties: bytes) -> dict[str, Any]:
    """Return headers in the place of those that cannot be read."""
    return {UNREAD: properties.decode("latin-1")}


def read_short_text(data: bytes, at: int) -> tuple[str, int]:
    """Return a text whose length is one byte, and where it ends."""
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end


def _read_table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    end = at + 4 + _long(data, at)[0]
    if end > len(data):
        raise ValueError("a table is longer than what it is in")
    at += 4
    table: dict[str, Any] = {}
    while at < end:
        name, at = read_short_text(data, at)
        kind = data[at]
        if kind == _TEXT:  # nearly all are
            begin = at + 5
            at = begin + _long(data, at + 1)[0]
            table[name] = _text(data[begin:at])
        else:
            table[name], at = _VALUES[kind](data, at + 1)
    if at != end:  # going on there would read the rest again, and of tables in tables each twice
        raise ValueError("a value is longer than the table that it is in")
    return table, end


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _read_text(data: bytes, at: int) -> tuple[str | bytes, int]:
    end = at + 4 + _long(data, at)[0]
    return _text(data[at + 4 : end]), end


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + _long(data, at)[0]
    return data[at + 4 : end], end


def _read_array(data: bytes, at: int) -> tuple[list[Any], int]:
    end = at + 4 + _long(data, at)[0]
    if end > len(data):
        raise ValueError("an array is longer than what it is in")
    at += 4
    values = []
    while at < end:
        value, at = _VALUES[data[at]](data, at + 1)
        values.append(value)
    if at != end:
        raise ValueError("a value is longer than the array that it is in")
    return values, end


def _read_octet(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _read_bool(data: bytes, at: int) -> tuple[bool, int]:
    return data[at] != 0, at + 1


def _read_void(data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _read_timestamp(data: bytes, at: int) -> tuple[datetime, int]:
    (instant,) = _longlong(data, at)
    seconds = instant / 1000 if instant > _MILLISECONDS_FROM else instant
    return datetime.fromtimestamp(seconds, UTC), at + 8


def _read_decimal(data: bytes, at: int) -> tuple[Decimal, int]:
    return Decimal(struct.unpack_from(">i", data, at + 1)[0]).scaleb(-data[at]), at + 5


def _number(form: str) -> Callable[[bytes, int], tuple[Any, int]]:
    packed = struct.Struct(form)
    unpack, size = packed.unpack_from, packed.size

    def read(data: bytes, at: int) -> tuple[Any, int]:
        return unpack(data, at)[0], at + size

    return read


_TEXT: Final = ord("S")

_VALUES: Final[dict[int, Callable[[bytes, int], tuple[Any, int]]]] = {
    ord(kind): read
    for kind, read in (
        ("S", _read_text),
        ("V", _read_void),
        ("I", _number(">i")),
        ("t", _read_bool),
        ("l", _number(">q")),
        ("L", _number(">q")),
        ("F", _read_table),
        ("A", _read_array),
        ("d", _number(">d")),
        ("f", _number(">f")),
        ("b", _number(">b")),
        ("B", _read_octet),
        ("s", _number(">h")),
        ("U", _number(">h")),
        ("u", _number(">H")),
        ("i", _number(">I")),
        ("T", _read_timestamp),
        ("D", _read_decimal),
        ("x", _read_bytes),
    )
}
"""How a value in a table is read, by the letter before it, as RabbitMQ and its clients have them."""


# -- writing ----------------------------------------------------------------------------------------------------------


def write_properties(carried: Carried) -> bytes:
    """Write the properties of a message, headers among them; what AMQP does not know is left out.

    Raises:
        EncodeError: a value is none that AMQP can carry; the text names it.
    """
    flags = 0
    parts = [b""]
    said = carried.properties
    for flag, name, _, write in _PROPERTIES:
        value = carried.headers if name == "headers" else said.get(name)
        if value is None or (flag == _HEADERS and not value):
            continue
        try:
            parts.append(write(value))
        except (ValueError, TypeError, OverflowError, struct.error, RecursionError) as error:
            raise EncodeError(f"RabbitMQ cannot carry {name} of a message: {error}") from error
        flags |= flag
    parts[0] = _pack_short(flags)
    return b"".join(parts)


def short_text(value: Any) -> bytes:
    """Write a text whose length is one byte.

    Raises:
        ValueError: it is longer.
    """
    raw = str(value).encode("utf-8", "surrogatepass")
    if len(raw) > _SHORT_MAX:
        raise ValueError(f"{raw[:40]!r}… is {len(raw)} bytes, and {_SHORT_MAX} is the most")
    return b"%c%b" % (len(raw), raw)


def _write_table(table: dict[str, Any]) -> bytes:
    parts = []
    for name, value in table.items():
        parts.append(short_text(name))
        parts.append(_written(value))
    raw = b"".join(parts)
    return _pack_long(len(raw)) + raw


def _written(value: Any) -> bytes:
    match value:
        case str():
            raw = value.encode("utf-8", "surrogatepass")
            return _pack_text(b"S", len(raw)) + raw
        case None:
            return b"V"
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return _pack_int(b"I", value) if -_INT_MAX <= value <= _INT_MAX else _pack_large_int(b"l", value)
        case float():
            return _pack_float(b"d", value)
        case list() | tuple():
            raw = b"".join([_written(one) for one in value])
            return _pack_text(b"A", len(raw)) + raw
        case dict():
            return b"F" + _write_table(value)
        case bytes():
            return _pack_text(b"S", len(value)) + value
    raise TypeError(f"a value is of type {type(value).__name__}")


def _write_octet(value: Any) -> bytes:
    return b"%c" % int(value)


def _write_timestamp(value: Any) -> bytes:
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return _pack_longlong(int(instant.timestamp() if isinstance(instant, datetime) else instant))


_HEADERS: Final = 1 << 13

_Read = Callable[[bytes, int], tuple[Any, int]]

_PROPERTIES: Final[tuple[tuple[int, str, _Read, Callable[[Any], bytes]], ...]] = (
    (1 << 15, "content_type", read_short_text, short_text),
    (1 << 14, "content_encoding", read_short_text, short_text),
    (_HEADERS, "headers", _read_table, _write_table),
    (1 << 12, "delivery_mode", _read_octet, _write_octet),
    (1 << 11, "priority", _read_octet, _write_octet),
    (1 << 10, "correlation_id", read_short_text, short_text),
    (1 << 9, "reply_to", read_short_text, short_text),
    (1 << 8, "expiration", read_short_text, short_text),
    (1 << 7, "message_id", read_short_text, short_text),
    (1 << 6, "timestamp", _read_timestamp, _write_timestamp),
    (1 << 5, "type", read_short_text, short_text),
    (1 << 4, "user_id", read_short_text, short_text),
    (1 << 3, "app_id", read_short_text, short_text),
)
"""In the order in which they are written; behind them only what nobody uses."""
