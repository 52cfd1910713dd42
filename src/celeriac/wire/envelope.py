"""Kombu's envelope: the one JSON object that a message is on Redis.

Nearly every envelope says nothing but what the rest of the message implies. Those are written by one format and read
by one typed decoder; whatever differs takes the long way, which comes to the same.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.jsontypes import UNREADABLE, convert, dumps, loads, loads_untagged
from celeriac.wire.limits import DEFAULT_LIMITS, Limits
from celeriac.wire.properties import merge_properties, only_reply_to, reply_to_alone, split_properties
from celeriac.wire.times import parse_certain_iso

ENVELOPE: Final = b'{"body": %b, "content-encoding": %b, "content-type": %b, "headers": %b, "properties": %b}'
"""The parts in kombu's order, each as JSON."""


def write_envelope(
    message: Message,
    *,
    delivery_tag: str,
    exchange: str = "",
    routing_key: str | None = None,
    reply_to: str | None = None,
    body_encoding: Literal["base64", "utf-8"] = "base64",
) -> bytes:
    """Write a message as one JSON object, as kombu does.

    Args:
        delivery_tag: unique per publish.
        exchange: what it is published to, which is not always where it arrives.
        routing_key: None: the queue's name.
        reply_to: queue for answers, unless the message names one. Celery's messages always have it.
        body_encoding: "utf-8" leaves a body that is text as it is.
    """
    plain = None if body_encoding == "base64" else _plain(message.body)
    if routing_key is None and reply_to is None and plain is None and not exchange:
        if message.properties is None:
            return _write_usual(message, delivery_tag, b"")
        named = reply_to_alone(message.properties)
        if named is not None:
            return _write_usual(message, delivery_tag, b'"reply_to": %b, ' % named)
    properties = merge_properties(message, exchange=exchange, routing_key=routing_key)
    if reply_to is not None:
        properties.setdefault("reply_to", reply_to)
    properties |= {"body_encoding": "base64" if plain is None else "utf-8", "delivery_tag": delivery_tag}
    body = b'"%b"' % binascii.b2a_base64(message.body, newline=False) if plain is None else plain
    return ENVELOPE % (
        body,
        dumps(message.content_encoding),
        dumps(message.content_type),
        message.headers,
        dumps(properties),
    )


def _plain(body: bytes) -> bytes | None:
    """Return a body as a text of JSON, or None when it is no text."""
    try:
        return encode_basestring_ascii(body.decode()).encode()
    except UnicodeDecodeError:
        return None


def _write_usual(message: Message, delivery_tag: str, reply_to: bytes) -> bytes:
    before_headers, before_tag = _around(
        message.content_encoding, message.content_type, message.queue, message.priority, reply_to
    )
    return b"".join(
        (
            b'{"body": "',
            binascii.b2a_base64(message.body, newline=False),
            before_headers,
            message.headers,
            b', "properties": {"correlation_id": ',
            encode_basestring_ascii(message.task_id).encode(),
            before_tag,
            encode_basestring_ascii(delivery_tag).encode(),
            b"}}",
        )
    )


@lru_cache(maxsize=1024)
def _around(encoding: str, content_type: str, queue: str, priority: int, reply_to: bytes) -> tuple[bytes, bytes]:
    """Return what stands between body and headers, and between id and delivery tag: the same for most messages."""
    write = encode_basestring_ascii
    before_headers = f'", "content-encoding": {write(encoding)}, "content-type": {write(content_type)}, "headers": '
    before_tag = (
        f'"delivery_mode": 2, "delivery_info": {{"exchange": "", "routing_key": {write(queue)}}}, '
        f'"priority": {priority:d}, "body_encoding": "base64", "delivery_tag": '
    )
    return before_headers.encode(), b", %b%b" % (reply_to, before_tag.encode())


class Envelope(msgspec.Struct, rename="kebab", gc=False):
    """Hold an envelope's parts; headers and properties as they were written."""

    body: str
    headers: msgspec.Raw = msgspec.Raw(b"{}")
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    content_type: str | None = None
    content_encoding: str | None = None


_decode_envelope: Final = msgspec.json.Decoder(Envelope).decode


class _UsualInfo(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    routing_key: str
    exchange: Literal[""]


class _UsualProperties(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    correlation_id: str
    delivery_info: _UsualInfo
    body_encoding: Literal["base64"]
    delivery_mode: Literal[2]
    priority: Annotated[int, msgspec.Meta(ge=0, le=255)]
    delivery_tag: str
    reply_to: str | None = None


class _UsualEnvelope(msgspec.Struct, rename="kebab", gc=False):
    body: bytes  # base64
    headers: msgspec.Raw
    properties: _UsualProperties
    content_type: str
    content_encoding: str


_decode_usual: Final = msgspec.json.Decoder(_UsualEnvelope).decode


def read_envelope(raw: bytes, *, queue: str, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read an envelope that was found in `queue`.

    What its headers say is not judged here, so that a message that is wrong inside can still be kept and named. An ETA
    without offset is left to the intake, which knows the app's zone.

    Raises:
        DecodeError: it is no envelope.
    """
    try:
        envelope = _decode_usual(raw)
        headers = bytes(envelope.headers)
        seen = _decode_glance(headers)
    except UNREADABLE:
        return _read_unusual(raw, queue, limits)
    properties = envelope.properties
    if seen.id != properties.correlation_id or properties.delivery_info.routing_key != queue or not seen.id:
        return _read_unusual(raw, queue, limits)
    reply_to = properties.reply_to
    return Message(
        task_id=seen.id,
        queue=queue,
        headers=headers,
        body=envelope.body,
        priority=properties.priority,
        eta_at=None if seen.eta is None else _readable_instant(seen.eta),
        content_type=envelope.content_type,
        content_encoding=envelope.content_encoding or "utf-8",
        properties=None if reply_to is None else only_reply_to(reply_to),
    )


def read_envelope_end(end: bytes, *, queue: str, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Read what the end of an envelope tells of a message whose body was left out.

    The body is empty. As its text has no quotation mark in it, the first one ends it.

    Raises:
        DecodeError: headers and properties do not lie in that end.
    """
    return read_envelope(b'{"body": "' + end[max(0, end.find(b'"')) :], queue=queue, limits=limits)


def read_unreadable(raw: bytes, *, queue: str) -> Message:
    """Make a message of bytes that are no envelope: they are its body, and it is named as far as they tell a name.

    What follows ``"properties"`` last may still be whole.
    """
    at = raw.rfind(b'"properties"')
    end = raw.rfind(b"}")
    try:
        properties = msgspec.json.decode(raw[at + 12 : end].lstrip(b" \t\r\n:")) if at >= 0 else {}
    except UNREADABLE:
        properties = {}
    return Message(
        task_id=spare_id(properties) if isinstance(properties, dict) else "",
        queue=queue,
        headers=b"",
        body=raw,
        content_type="application/data",
        content_encoding="binary",
    )


def _read_unusual(raw: bytes, queue: str, limits: Limits) -> Message:
    envelope = open_envelope(raw, limits)
    properties = loads(bytes(envelope.properties), max_depth=limits.max_depth)
    if not isinstance(properties, dict):
        raise DecodeError(f"properties of a message in {queue} are not a JSON object")
    headers = bytes(envelope.headers)
    body = read_envelope_body(envelope.body, properties.get("body_encoding"), queue)
    task_id, eta_at = glance(headers, body)
    task_id = task_id or spare_id(properties)
    return Message(
        task_id=task_id,
        queue=queue,
        headers=headers,
        body=body,
        priority=_priority(properties.get("priority")),
        eta_at=eta_at,
        content_type=envelope.content_type or "",
        content_encoding=envelope.content_encoding or "utf-8",
        properties=split_properties(properties, task_id=task_id, queue=queue),
    )


def open_envelope(raw: bytes, limits: Limits) -> Envelope:
    """Take an envelope apart, without a look at what its parts say.

    Raises:
        DecodeError: it is no envelope.
    """
    try:
        return _decode_envelope(raw)
    except UNREADABLE:
        fields = loads_untagged(raw, max_depth=limits.max_depth)
    if not isinstance(fields, dict) or not isinstance(fields.get("body"), str):
        raise DecodeError(f"an envelope of {len(raw)} bytes has no text as its body")
    for part in ("headers", "properties"):
        fields[part] = msgspec.Raw(json.dumps(fields.get(part, {})).encode())
    return convert(fields, Envelope, name=f"an envelope of {len(raw)} bytes is not kombu's")


def read_envelope_body(text: str, encoding: Any, place: str) -> bytes:
    """Return the serialized body that an envelope holds as text; `place` is where it was found, for the error.

    Raises:
        DecodeError: it is not base64, as its encoding says.
    """
    if encoding != "base64":
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"body of a message in {place} is not base64: {exc}") from exc


class _Glance(msgspec.Struct, gc=False):
    id: str | None = None
    eta: str | None = None


_decode_glance: Final = msgspec.json.Decoder(_Glance).decode


def glance(headers: bytes, body: bytes) -> tuple[str | None, float | None]:
    """Find the id and the ETA, if they can be read: in the headers, or in a body of protocol 1."""
    for part in (headers, body):
        try:
            seen = _decode_glance(part)
        except UNREADABLE:
            continue
        if seen.id:
            return seen.id, _readable_instant(seen.eta)
    return None, None


def _readable_instant(text: str | None) -> float | None:
    try:
        return None if text is None else parse_certain_iso(text)
    except ValueError:
        return None


def spare_id(properties: Mapping[str, Any]) -> str:
    """Name a message whose own id cannot be read, or was a UUID that kombu tagged, so that its dead letter has one."""
    spare = properties.get("correlation_id")
    return str(spare).encode(errors="replace").decode() if isinstance(spare, (str, UUID)) else ""


def _priority(value: Any) -> int:
    try:
        return min(max(int(value), 0), 255)
    except (TypeError, ValueError, OverflowError):
        return 0
