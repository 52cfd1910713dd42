"""Messages of RabbitMQ whose header tables are written by hand: what other languages send, and what nobody can read."""

from __future__ import annotations

import struct
from typing import Any

import amqp


class Raw(amqp.Message):  # type: ignore[misc]  # the driver has no types
    """Carry a table that the driver would not write."""

    def __init__(self, body: bytes, table: bytes, **properties: Any) -> None:
        super().__init__(body, content_type="application/json", **properties)
        self._table = struct.pack(">I", len(table)) + table

    def _serialize_properties(self) -> bytes:
        flags, text = 0x8000 | 0x2000, short(self.properties["content_type"])
        correlation_id = self.properties.get("correlation_id")
        if correlation_id is None:
            return struct.pack(">H", flags) + text + self._table
        return struct.pack(">H", flags | 0x0400) + text + self._table + short(correlation_id)


def short(text: str) -> bytes:
    return struct.pack(">B", len(text)) + text.encode()


def entry(name: bytes, kind: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + kind + value


def text(name: bytes, value: bytes) -> bytes:
    return entry(name, b"S", struct.pack(">I", len(value)) + value)


def nested(depth: int) -> bytes:
    """Write a list in a list in a list."""
    value = b""
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01x" + value


def overlapping(pairs: int) -> bytes:
    """Write tables that end before what is in them: each is read again where the one around it goes on."""
    short, long = (b"\x00F" + struct.pack(">I", 6 * units) for units in (1, 4))
    return (short + long) * pairs


HOSTILE = {
    "a-time-beyond-all-years": entry(b"x", b"T", b"\xff" * 8),
    "deeper-than-any-stack": nested(20_000),
}
"""Tables that RabbitMQ passes on and that cannot be read."""

BROKEN = {
    "an-unknown-kind": entry(b"x", b"?", b"12"),
    "a-text-longer-than-its-table": entry(b"x", b"S", struct.pack(">I", 1_000) + b"abc"),
    "an-array-longer-than-its-table": entry(b"x", b"A", struct.pack(">I", 1_000) + b"V"),
    "a-table-longer-than-its-table": entry(b"x", b"F", struct.pack(">I", 1_000)),
    "a-value-longer-than-its-array": entry(b"x", b"A", struct.pack(">I", 1) + b"I" + bytes(4)),
    "a-value-longer-than-its-inner-table": entry(b"x", b"F", struct.pack(">I", 2) + b"\x00I" + bytes(4)),
    "a-table-cut-off": b"\x05x",
    "tables-that-overlap": overlapping(100),
}
"""Tables that RabbitMQ refuses; another server of AMQP may not."""
