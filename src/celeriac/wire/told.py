"""The state that a result record tells, read from its bytes alone.

Where results are kept as Celery keeps them, nothing beside a record says what it is. What is looked for here is one
word, in records of any writer and serializer: nothing is built of them, a pickle is never loaded.
"""

from __future__ import annotations

import pickletools
import re
from itertools import islice
from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.states import ALL_STATES
from celeriac.wire.forms import JSON_FORM, unpack
from celeriac.wire.serializers import JSON


class _Told(msgspec.Struct):
    status: str


_JSON_STARTS: Final = {b'{"status": "%s"' % state.encode(): state for state in ALL_STATES}
_OF_JSON: Final = re.compile(rb'\{"status": ?"([^"\\]*)"')
_OF_YAML: Final = re.compile(rb"^status: ([\w-]+)$", re.MULTILINE)
_from_json: Final = msgspec.json.Decoder(_Told).decode
_from_msgpack: Final = msgspec.msgpack.Decoder(_Told).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_PICKLE_HEAD: Final = 64
"""Steps of a pickle among which its first key is found."""


def told_state(record: bytes) -> str | None:
    """Return the state that a record tells, or None when it tells none that can be found."""
    known = _JSON_STARTS.get(record[: record.find(b'"', 12) + 1])
    if known is not None:
        return known
    first = record[:1]
    if first == b"{":
        return _told_by_json(record)
    if first == b"\x80":
        return _told_by_pickle(record)
    if b"\x81" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        try:
            return _from_msgpack(record).status
        except _UNREADABLE:
            return None
    if first == b"\0":
        return _told_by_packed(record)
    found = _OF_YAML.search(record)
    return None if found is None else found[1].decode("ascii", "replace")


def _told_by_json(record: bytes) -> str | None:
    found = _OF_JSON.match(record)
    if found is not None:
        return found[1].decode(errors="replace")
    try:
        return _from_json(record).status
    except _UNREADABLE:
        pass  # with NaN in it, of too many levels, or broken
    try:
        fields = JSON.loads(record)
    except DecodeError:
        return None
    return _text(fields.get("status")) if isinstance(fields, dict) else None


def _told_by_pickle(record: bytes) -> str | None:
    """Return the text that follows the key; Celery writes the state first."""
    after_key = False
    try:
        for _, value, _ in islice(pickletools.genops(record), _PICKLE_HEAD):
            if isinstance(value, str):
                if after_key:
                    return value
                after_key = value == "status"
    except Exception:  # noqa: BLE001 - whatever it raises about bytes that are no pickle, they tell no state
        return None
    return None


def _told_by_packed(record: bytes) -> str | None:
    try:
        whole = unpack(record, JSON_FORM)
    except DecodeError:
        return None
    return None if whole[:1] in (b"\0", b"") else told_state(whole)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
