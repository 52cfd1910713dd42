"""The record of a claimed or delayed message, and of a dead letter, as scripts and nodes both read them.

A record is the list that the message was taken from, and its envelope as it was there: ``<n>:<list><envelope>`` where
n counts the bytes of the list's full name. Scripts find the list by it and never look into an envelope. A member of the
delayed set is ``<unique>:<record>``; the unique part holds no colon.

A dead letter is five fields, ``<n>:<bytes>`` each, then the record: when it died (unix seconds), why, and where the
result of its death is: key, key of its attempt, database; all three are empty where no result was stored with it.
"""

from __future__ import annotations

import msgspec


class DeadRecord(msgspec.Struct, frozen=True):
    """Hold the parts of a stored dead letter; the envelope may be cut in front (`size_bytes` counts all of it)."""

    died_at: float
    reason: str
    list_name: bytes
    envelope: bytes
    size_bytes: int


def make_record(list_name: bytes, envelope: bytes) -> bytes:
    """Put a list's name in front of an envelope."""
    return b"%d:%b%b" % (len(list_name), list_name, envelope)


def split_record(record: bytes) -> tuple[bytes, bytes]:
    """Return the list's name and the envelope of a record.

    Raises:
        ValueError: it is none.
    """
    return _field(record)


def split_member(member: bytes) -> tuple[bytes, bytes]:
    """Return the list's name and the envelope of a member of the delayed set.

    Raises:
        ValueError: it is none.
    """
    return split_record(member[member.index(b":") + 1 :])


def make_dead(died_at: float, reason: str, record: bytes) -> bytes:
    """Write a dead letter for which no result was stored."""
    fields = (b"%.6f" % died_at, reason.encode(errors="replace"), b"", b"", b"")
    return b"".join(b"%d:%b" % (len(field), field) for field in fields) + record


def split_dead(stored: bytes, *, left_out: int = 0) -> DeadRecord:
    """Read a stored dead letter.

    Args:
        left_out: bytes of the envelope that were not sent along.

    Raises:
        ValueError: it is none.
    """
    died_at, rest = _field(stored)
    reason, rest = _field(rest)
    for _ in range(3):
        _, rest = _field(rest)
    list_name, envelope = _field(rest)
    return DeadRecord(float(died_at), reason.decode(errors="replace"), list_name, envelope, len(envelope) + left_out)


def _field(text: bytes) -> tuple[bytes, bytes]:
    colon = text.index(b":")
    end = colon + 1 + int(text[:colon])
    if not colon < end <= len(text):
        raise ValueError(f"a field of {text[:colon][:20]!r} bytes does not fit in {len(text)} bytes")
    return text[colon + 1 : end], text[end:]
