"""Frames of AMQP 0-9-1, as far as deliveries and acknowledgements are made of them. Pure.

Everything else on a connection is the driver's. What a worker receives and acknowledges by the thousand is read and
written here, because the driver takes an event loop's turns for it: three per frame, and a task per message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.carried import Carried

HEAD_BYTES: Final = 7
"""Type, channel and length, before a frame's payload."""

TAIL_BYTES: Final = 1
"""What each frame ends with."""

HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

UNREAD: Final = "x-celeriac-unread"
"""Header that stands for all others where they cannot be read: the bytes of the properties, as Latin-1."""

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3

_head: Final = struct.Struct(">BHI").unpack_from
_octet: Final = struct.Struct(">B").unpack_from
_short: Final = struct.Struct(">H").unpack_from
_long: Final = struct.Struct(">I").unpack_from
_longlong: Final = struct.Struct(">Q").unpack_from
_size_and_flags: Final = struct.Struct(">4xQH").unpack_from
_pack_ack: Final = struct.Struct(">BHIHHQBB").pack
_pack_nack: Final = struct.Struct(">BHIHHQBB").pack

_DELIVER: Final = b"\x00\x3c\x00\x3c"
_BASIC: Final = 60
_ACK: Final = 80
_NACK: Final = 120
_OF_ACK: Final = 13
_MULTIPLE: Final = 1
_REQUEUE: Final = 2
_END: Final = 0xCE

_MILLISECONDS_FROM: Final = 0xFFFFFFFF
"""Timestamps above this, the year 2106, are taken for milliseconds."""


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """Be one message as it came.

    Attributes:
        consumer: tag of the consumer that it came to.
        tag: by which it is acknowledged on its channel.
        raw: its properties as they were written.
    """

    consumer: str
    tag: int
    redelivered: bool
    exchange: str
    key: str
    carried: Carried
    raw: bytes


class Deliveries:
    """Put the frames of one channel's deliveries together.

    Args:
        deliver: is given each message as soon as its last frame is here.
    """

    def __init__(self, deliver: Callable[[Delivered], None]) -> None:
        self._deliver = deliver
        self._method: tuple[str, int, bool, str, str] | None = None
        self._properties = b""
        self._missing = 0
        self._body: list[bytes] = []

    def take(self, kind: int, data: bytes, at: int, end: int) -> bool:
        """Take a frame of the channel whose payload is ``data[at:end]``; say whether it belongs to a delivery."""
        if kind == METHOD:
            if not data.startswith(_DELIVER, at):
                return False
            self._method = _read_deliver(data, at + 4)
            self._body = []
            return True
        if self._method is None:
            return False
        if kind == HEADER:
            (self._missing,) = _longlong(data, at + 4)
            self._properties = data[at + 12 : end]
        else:
            self._body.append(data[at:end])
            self._missing -= end - at
        if self._missing <= 0:
            method, self._method = self._method, None
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            raw = self._properties
            self._deliver(Delivered(*method, read_properties(raw, body), raw))
        return True


def frame_at(data: bytes, at: int) -> tuple[int, int, int]:
    """Return type and channel of the frame that begins here, and where it ends."""
    kind, channel, length = _head(data, at)
    return kind, channel, at + HEAD_BYTES + length + TAIL_BYTES


def acks(channel: int, tags: Iterable[int], *, upto: int | None) -> bytes:
    """Write acknowledgements.

    Args:
        upto: acknowledge all up to this tag, too.
    """
    together = [] if upto is None else [_pack_ack(METHOD, channel, _OF_ACK, _BASIC, _ACK, upto, _MULTIPLE, _END)]
    return b"".join([*together, *(_pack_ack(METHOD, channel, _OF_ACK, _BASIC, _ACK, tag, 0, _END) for tag in tags)])


def give_backs(channel: int, tags: Iterable[int]) -> bytes:
    """Write that messages go back to where they were in their queues."""
    return b"".join(_pack_nack(METHOD, channel, _OF_ACK, _BASIC, _NACK, tag, _REQUEUE, _END) for tag in tags)


def _read_deliver(data: bytes, at: int) -> tuple[str, int, bool, str, str]:
    consumer, at = _read_name(data, at)
    (tag,) = _longlong(data, at)
    redelivered = bool(data[at + 8] & 1)
    exchange, at = _read_name(data, at + 9)
    key, at = _read_name(data, at)
    return consumer, tag, redelivered, exchange, key


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end


def read_properties(data: bytes, body: bytes) -> Carried:
    """Read the properties of a message; those that cannot be read are kept as a header, whole."""
    try:
        (flags,) = _short(data, 0)
        at = 2
        headers: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        for flag, name, read in _PROPERTIES:
            if flags & flag:
                value, at = read(data, at)
                if name == "headers":
                    headers = value
                else:
                    properties[name] = value
        return Carried(headers, properties, body)
    except (struct.error, IndexError, KeyError, ValueError, OverflowError, OSError, RecursionError):
        return Carried(unread(data), {}, body)


def unread(properties: bytes) -> dict[str, Any]:
    """Return headers in the place of those that cannot be read."""
    return {UNREAD: properties.decode("latin-1")}


def _read_table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    end = at + 4 + _long(data, at)[0]
    if end > len(data):
        raise ValueError("a table is longer than what it is in")
    at += 4
    table: dict[str, Any] = {}
    while at < end:
        name, at = _read_name(data, at)
        kind = data[at]
        if kind == _TEXT:  # nearly all are
            begin = at + 5
            at = begin + _long(data, at + 1)[0]
            table[name] = _text(data[begin:at])
        else:
            table[name], at = _VALUES[kind](data, at + 1)
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

_PROPERTIES: Final[tuple[tuple[int, str, Callable[[bytes, int], tuple[Any, int]]], ...]] = (
    (1 << 15, "content_type", _read_name),
    (1 << 14, "content_encoding", _read_name),
    (1 << 13, "headers", _read_table),
    (1 << 12, "delivery_mode", _read_octet),
    (1 << 11, "priority", _read_octet),
    (1 << 10, "correlation_id", _read_name),
    (1 << 9, "reply_to", _read_name),
    (1 << 8, "expiration", _read_name),
    (1 << 7, "message_id", _read_name),
    (1 << 6, "timestamp", _read_timestamp),
    (1 << 5, "type", _read_name),
    (1 << 4, "user_id", _read_name),
    (1 << 3, "app_id", _read_name),
)
"""In the order in which they are written; behind them only what nobody uses."""
