"""Headers of ours: the key of a unique run, with the seconds for which it lasts, and the key of a concurrency limit.

Celery's workers take them for custom headers: they go by nothing in them, and hand them on with a retry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.message import OnConflict, Unique
from celeriac.wire.jsontypes import UNREADABLE, convert, dumps, loads
from celeriac.wire.limits import DEFAULT_LIMITS

UNIQUE_HEADER: Final = "celeriac_unique"
ROOM_HEADER: Final = "celeriac_room"
"""The header that says which runs share a concurrency limit: the key, a text."""

OUR_HEADERS: Final = frozenset({UNIQUE_HEADER, ROOM_HEADER})

KEY_MAX: Final = 2_048
"""Most characters of a key: a task name, and what tells its runs apart."""


RoomKey = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_MAX)]


class UniqueHeader(msgspec.Struct, frozen=True, gc=False):
    """Be the value of the header."""

    key: RoomKey
    lasts: Annotated[float, msgspec.Meta(gt=0)] = msgspec.field(name="for")


class _Among(msgspec.Struct, gc=False):
    celeriac_unique: UniqueHeader | None = None


_NAME: Final = UNIQUE_HEADER.encode()
_decode: Final = msgspec.json.Decoder(_Among).decode


def write_unique(unique: Unique) -> bytes:
    """Return the header's value as JSON."""
    return dumps({"key": unique.key, "for": unique.lasts})


def unique_of(headers: bytes) -> Unique | None:
    """Return what headers say of uniqueness, for a message that is published in any case; None for nothing."""
    if _NAME not in headers:
        return None
    try:
        header = _decode(headers).celeriac_unique
    except UNREADABLE:  # wrong, or only unusual: the slow way tells
        try:
            fields = loads(headers, max_depth=DEFAULT_LIMITS.max_depth, name="headers")
        except DecodeError:
            return None
        return unique_among(fields.get(UNIQUE_HEADER)) if isinstance(fields, dict) else None
    return None if header is None else _kept(header)


def unique_among(value: object) -> Unique | None:
    """Return likewise what the header's decoded value says."""
    try:
        return _kept(convert(value, UniqueHeader, name=UNIQUE_HEADER))
    except DecodeError:
        return None


def room_among(value: object) -> str | None:
    """Return the key of a concurrency limit that the header's decoded value says, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= KEY_MAX else None


def without_unique(headers: Mapping[str, Any]) -> tuple[Mapping[str, Any], Unique | None]:
    """Take the header out of others, and return what it said."""
    if UNIQUE_HEADER not in headers:
        return headers, None
    left = dict(headers)
    return left, unique_among(left.pop(UNIQUE_HEADER))


def _kept(header: UniqueHeader) -> Unique:
    return Unique(key=header.key, lasts=header.lasts, on_conflict=OnConflict.KEEP)
