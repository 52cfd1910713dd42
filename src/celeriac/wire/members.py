"""What the body of a chord gets of one member: Celery's list of a number, the id, the state and the value."""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import msgspec

from celeriac.exceptions import ContentDisallowed, DecodeError, MessageTooLarge
from celeriac.wire.forms import JSON_FORM, RecordForm
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.results import value_text
from celeriac.wire.serializers import JSON, MSGPACK, PICKLE, Serializer

_quote: Final = encode_basestring_ascii
_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth
_PARTS: Final = 4
_OF_JSON: Final = re.compile(rb'\[1, ?"([^"\\]*)", ?"([^"\\]*)", ?')
_from_msgpack: Final = msgspec.msgpack.Decoder(tuple[int, str, str, msgspec.Raw]).decode


class Item(msgspec.Struct, frozen=True, gc=False):
    """Hold what an item says.

    Attributes:
        value: what the member returned, or an exception's map.
    """

    task_id: str
    state: str
    value: Any


def write_item(task_id: str, state: str, value: Any, form: RecordForm = JSON_FORM) -> bytes:
    """Write what a member came to.

    Args:
        value: what it returned, or an exception's map (`wire/results.py`).
        form: names the serializer; items are never compressed.

    Raises:
        EncodeError: the value cannot be written; the text says which part of it.
        MessageTooLarge: it is larger than a record may be.
    """
    if form.serializer is JSON:
        item = f"[1, {_quote(task_id)}, {_quote(state)}, {value_text(value)}]".encode()
    else:
        item = form.serializer.dumps([1, task_id, state, value], name="what a member returned", max_depth=_MAX_DEPTH)
    if len(item) > form.record_max_bytes:
        raise MessageTooLarge(
            f"what member {task_id} of a chord returned has {len(item)} bytes, over the limit of "
            f"{form.record_max_bytes}; return a reference to the data, or raise result_max_bytes"
        )
    return item


def read_item(item: bytes, form: RecordForm = JSON_FORM) -> Item:
    """Read what a member came to, as any writer has written it.

    Raises:
        DecodeError: it is no such list, or broken.
        ContentDisallowed: its serializer is not accepted; the text names the setting.
    """
    parts = _load(item, form)
    if not isinstance(parts, (list, tuple)) or len(parts) != _PARTS:
        raise DecodeError("what a member of a chord returned is not kept as a list of four")
    _, task_id, state, value = parts
    if not (isinstance(task_id, str) and isinstance(state, str)):
        raise DecodeError("what a member of a chord returned is kept without its id and state")
    return Item(task_id, state, value)


def _load(item: bytes, form: RecordForm) -> Any:
    if form.has_code_of_users:
        try:
            return form.serializer.loads(item, max_depth=_MAX_DEPTH)
        except DecodeError:
            pass  # written by the supervisor, or before the setting was changed
    serializer = _writer_of(item, form)
    if serializer.name not in form.accept:
        raise ContentDisallowed(
            f"a member of a chord is kept as {serializer.name}, which is not read here (result_accept_content "
            f"{sorted(form.accept)}); add {serializer.name!r} there"
        )
    return serializer.loads(item, max_depth=_MAX_DEPTH, name="what a member of a chord returned")


def told_by_item(item: bytes) -> tuple[str, str]:
    """Return the id and the state that an item tells by its bytes alone; "" twice when nothing can be found there.

    Nothing is built of it: a pickle tells nothing.
    """
    found = _OF_JSON.match(item)
    if found is not None:
        return found[1].decode(errors="replace"), found[2].decode(errors="replace")
    if item[:1] in (b"\x94", b"\xdc", b"\xdd"):
        try:
            _, task_id, state, _ = _from_msgpack(item)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "", ""
        return task_id, state
    return "", ""


def _writer_of(item: bytes, form: RecordForm) -> Serializer:
    """Tell from the first bytes what has written an item: it is a list of four."""
    if b"\x80\x02" <= item[:2] <= b"\x80\x05":
        return PICKLE
    if item[:1] in (b"\x94", b"\xdc", b"\xdd"):
        return MSGPACK
    return JSON if item[:1] == b"[" else form.serializer
