"""The headers of protocol 2: how they are written, and what strangers may have put there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.wire.depth import is_text_deeper
from celeriac.wire.jsontypes import UNREADABLE, convert, loads, may_have_tags
from celeriac.wire.limits import Limits
from celeriac.wire.unique import ROOM_HEADER, UNIQUE_HEADER, RoomKey, UniqueHeader, room_among, unique_among

Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_LIMITED: Final = msgspec.Meta(ge=0, le=2**53)
Seconds = Annotated[int, _LIMITED] | Annotated[float, _LIMITED] | None
"""A limit of time that a message sets; what is no number, or no end, would break every comparison with it."""


class Headers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Name what protocol 2 knows, in the order in which Celery writes it.

    A null stands for the default, as it does for Celery; without a `task` the message is of protocol 1. `timelimit`
    is (hard, soft), whatever the upstream document says.
    """

    lang: str | None = None
    task: str = ""
    id: str = ""
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    group_index: int | None = None
    retries: Count = 0
    timelimit: tuple[Seconds, Seconds] = (None, None)
    root_id: str | None = None
    parent_id: str | None = None
    argsrepr: str = ""
    kwargsrepr: str = ""
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] = {}


class _HeadersAmongOthers(Headers, forbid_unknown_fields=False, gc=False):
    """Read the same where there are custom headers too."""


class Facts(msgspec.Struct, gc=False):
    """Hold only what a node decides on, among headers of any kind or in a body of protocol 1."""

    task: str = ""
    id: str = ""
    eta: str | None = None
    expires: str | None = None
    retries: Count = 0
    ignore_result: bool | None = None
    celeriac_unique: UniqueHeader | None = None
    celeriac_room: RoomKey | None = None
    timelimit: tuple[Seconds, Seconds] | None = None
    utc: bool = True

    @property
    def unique_key(self) -> str | None:
        """The key under which the run is the only one, or None."""
        return None if self.celeriac_unique is None else self.celeriac_unique.key


_KNOWN: Final = frozenset(Headers.__struct_fields__)
RESERVED: Final = _KNOWN | {"compression"}
"""Names of headers that mean something to whoever reads the message."""

# Never handed on with a retry: how this body was packed, and what a broker noted about one delivery.
_OF_ONE_DELIVERY: Final = frozenset({"compression", "redelivered"})
_DEATH_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-")

encode_headers: Final = msgspec.json.Encoder().encode
_decode_headers: Final = msgspec.json.Decoder(Headers).decode
_decode_among_others: Final = msgspec.json.Decoder(_HeadersAmongOthers).decode
decode_facts: Final = msgspec.json.Decoder(Facts).decode


def read_headers(data: bytes, *, limits: Limits) -> tuple[Headers, dict[str, Any], object]:
    """Read all headers: what protocol 2 knows, the custom ones, and how the body is compressed or None.

    Raises:
        DecodeError: they are no JSON object of such values, or over a limit.
    """
    _check_size(data, limits)
    headers = _read_plain_headers(data)
    if headers is not None:
        return headers, {}, None
    fields = read_fields(data, limits=limits)
    return _known_among(fields, data), _custom_among(fields), fields.get("compression")


def read_facts(data: bytes, *, limits: Limits) -> Headers | Facts:
    """Read what a node decides on, and no more than that costs.

    Raises:
        DecodeError: as `read_headers`.
    """
    _check_size(data, limits)
    headers = _read_plain_headers(data)
    if headers is not None:
        return headers
    if data.count(b":") <= limits.max_headers and not is_text_deeper(data, limits.max_depth):
        try:
            return decode_facts(data)
        except UNREADABLE:
            pass  # wrong, or only unusual: the slow way tells
    fields = read_fields(data, limits=limits)
    known = convert_headers(fields)
    if UNIQUE_HEADER not in fields and ROOM_HEADER not in fields:
        return known
    unique = unique_among(fields.get(UNIQUE_HEADER))
    header = None if unique is None else UniqueHeader(unique.key, unique.lasts)
    room = room_among(fields.get(ROOM_HEADER))
    return Facts(known.task, known.id, known.eta, known.expires, known.retries, known.ignore_result, header, room)


def _known_among(fields: Mapping[str, Any], data: bytes) -> Headers:
    """Return what protocol 2 knows of fields that were read from `data`."""
    if not may_have_tags(data):
        try:
            return _decode_among_others(data)  # a sixth of the time of converting the fields
        except UNREADABLE:
            pass  # wrong, or only unusual: the slow way tells
    return convert_headers(fields)


def _check_size(data: bytes, limits: Limits) -> None:
    if len(data) > limits.max_header_bytes:
        raise DecodeError(f"headers of {len(data)} bytes are over the limit of {limits.max_header_bytes}")


def _read_plain_headers(data: bytes) -> Headers | None:
    """Read headers among which is nothing custom, stamped or wrong, so nothing nested either; else return None."""
    try:
        headers = _decode_headers(data)
    except UNREADABLE:
        return None
    return None if headers.stamps else headers


def read_fields(data: bytes, *, limits: Limits) -> dict[str, Any]:
    """Read headers as they are, whatever they are, within limits."""
    fields = loads(data, max_depth=limits.max_depth, name="headers")
    if not isinstance(fields, dict):
        raise DecodeError(f"headers are a JSON {type(fields).__name__}, not an object")
    if len(fields) > limits.max_headers:
        raise DecodeError(f"{len(fields)} headers are over the limit of {limits.max_headers} (message_max_headers)")
    return fields


def convert_headers(fields: Mapping[str, Any]) -> Headers:
    """Check what of `fields` protocol 2 knows."""
    known = {name: _plain(fields[name]) for name in _KNOWN & fields.keys() if fields[name] is not None}
    headers = convert(known, Headers, name="the headers are not of protocol 2")
    try:
        f"{headers.task}{headers.id}".encode()
    except UnicodeEncodeError as exc:
        raise DecodeError(f"task name or id is not text: {exc.reason}") from exc
    return headers


def _custom_among(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a producer added to the headers and a retry hands on."""
    return {
        name: value
        for name, value in fields.items()
        if name not in _KNOWN and name not in _OF_ONE_DELIVERY and not name.startswith(_DEATH_HEADERS)
    }


def _plain(value: object) -> object:
    """Undo what kombu's tagged values made of an id or a time that a producer gave as an object."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
