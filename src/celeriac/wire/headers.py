"""The headers of protocol 2: how they are written, and what strangers may have put there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import loads
from celeriac.wire.limits import Limits

MAX_RETRIES: Final = 2**31 - 1


class Headers(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Name what protocol 2 knows, in the order in which Celery writes it.

    Reading takes each field for absent that is absent or null, as Celery does; only `task` and `id` must be there.
    `timelimit` is (hard, soft), whatever the upstream document says.
    """

    lang: str | None = "py"
    task: str | None = None
    id: str | None = None
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    group_index: int | None = None
    retries: int | None = 0
    timelimit: tuple[int | float | None, int | float | None] | None = (None, None)
    root_id: str | None = None
    parent_id: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = {}


KNOWN: Final = frozenset(Headers.__struct_fields__)

# Never handed on with a retry: how this body was packed, and what a broker noted about one delivery.
_OF_ONE_DELIVERY: Final = frozenset({"compression", "redelivered"})
_DEATH_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-")

_decode_headers: Final = msgspec.json.Decoder(Headers).decode


def read_headers(data: bytes, *, limits: Limits) -> tuple[Headers, dict[str, Any]]:
    """Read the headers of a message of either protocol: what protocol 2 knows, and the custom ones.

    Raises:
        DecodeError: they are no JSON object of such values, or over a limit.
    """
    check_size(data, limits=limits)
    if b'"__type__"' not in data:
        try:
            return _decode_headers(data), {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # custom headers, or something wrong: the slow way tells
    fields = read_fields(data, limits=limits)
    return convert_headers(fields), custom_headers(fields)


def read_fields(data: bytes, *, limits: Limits) -> dict[str, Any]:
    """Read all headers as they are, within limits."""
    fields = loads(data, max_depth=limits.max_depth)
    if not isinstance(fields, dict):
        raise DecodeError(f"headers are a JSON {type(fields).__name__}, not an object")
    if len(fields) > limits.max_headers:
        raise DecodeError(f"{len(fields)} headers are over the limit of {limits.max_headers} (message_max_headers)")
    return fields


def check_size(data: bytes, *, limits: Limits) -> None:
    """Refuse headers that are too long, too deep or too many, as cheaply as their size allows."""
    if len(data) > limits.max_header_bytes:
        raise DecodeError(f"headers of {len(data)} bytes are over the limit of {limits.max_header_bytes}")
    if data.count(b"[") + data.count(b"{") > limits.max_depth or data.count(b":") > limits.max_headers:
        read_fields(data, limits=limits)


def convert_headers(fields: Mapping[str, Any]) -> Headers:
    """Check what of `fields` protocol 2 knows."""
    known = {name: _plain(value) for name, value in fields.items() if name in KNOWN}
    try:
        return msgspec.convert(known, Headers)
    except msgspec.ValidationError as exc:
        raise DecodeError(f"headers are not of protocol 2: {exc}") from exc


def custom_headers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a producer added to the headers and a retry hands on."""
    return {
        name: value
        for name, value in fields.items()
        if name not in KNOWN and name not in _OF_ONE_DELIVERY and not name.startswith(_DEATH_HEADERS)
    }


def _plain(value: object) -> object:
    """Undo what kombu's tagged values made of an id or a time that a producer gave as an object."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
