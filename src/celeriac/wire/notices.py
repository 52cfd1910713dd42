"""Notices: what is said on the bus, and kombu's envelope around it.

Control commands, their replies and events all have this shape in Celery. What their bodies say is not looked at here.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError
from celeriac.wire.envelope import ENVELOPE, open_envelope, read_envelope_body
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.limits import DEFAULT_LIMITS, Limits
from celeriac.wire.properties import PERSISTENT

_TRANSIENT: Final = 1


class Notice(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Say one thing on the bus: a control command, an event, a reply.

    Attributes:
        exchange: the conversation that it belongs to, such as ``celery.pidbox`` or ``celeryev``.
        routing_key: what it is about, in words with dots between them, such as ``worker.heartbeat``; or, of a reply,
            whom it is for. Control commands have none.
        body: the serialized thing itself.
        headers: a JSON object.
        content_type: what `body` is.
        content_encoding: charset of a textual body, else ``binary``.
        persistent: what Celery marks control commands as; nobody keeps them any longer for it.
    """

    exchange: str
    routing_key: str = ""
    body: bytes
    headers: bytes = b"{}"
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    persistent: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes that the notice weighs against `message_max_bytes`."""
        return len(self.headers) + len(self.body)


def write_notice(notice: Notice, *, delivery_tag: str) -> bytes:
    """Write a notice as one JSON object, as kombu does.

    Args:
        delivery_tag: unique per notice said.
    """
    properties = {
        "delivery_mode": PERSISTENT if notice.persistent else _TRANSIENT,
        "delivery_info": {"exchange": notice.exchange, "routing_key": notice.routing_key},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": delivery_tag,
    }
    return ENVELOPE % (
        b'"%b"' % base64.b64encode(notice.body),
        dumps(notice.content_encoding),
        dumps(notice.content_type),
        notice.headers,
        dumps(properties),
    )


def read_notice(raw: bytes, *, limits: Limits = DEFAULT_LIMITS) -> tuple[Notice, str]:
    """Read what was heard: the notice, and its delivery tag ("" when it has none).

    Raises:
        DecodeError: it is no envelope, is over a limit, or does not say where it was published to.
    """
    if len(raw) > limits.max_bytes:
        raise DecodeError(f"a notice of {len(raw)} bytes is over the limit of {limits.max_bytes}")
    envelope = open_envelope(raw, limits)
    headers = bytes(envelope.headers)
    properties = loads(bytes(envelope.properties), max_depth=limits.max_depth, name="properties")
    if not isinstance(properties, dict) or not headers.startswith(b"{"):
        raise DecodeError("headers or properties of a notice are not a JSON object")
    exchange, routing_key = _address(properties.get("delivery_info"))
    tag = properties.get("delivery_tag")
    notice = Notice(
        exchange=exchange,
        routing_key=routing_key,
        body=read_envelope_body(envelope.body, properties.get("body_encoding"), exchange),
        headers=headers,
        content_type=envelope.content_type or "",
        content_encoding=envelope.content_encoding or "utf-8",
        persistent=properties.get("delivery_mode") == PERSISTENT,
    )
    return notice, tag if isinstance(tag, str) else ""


def _address(info: Any) -> tuple[str, str]:
    match info:
        case {"exchange": str(exchange), "routing_key": str(routing_key)}:
            return exchange, routing_key
    raise DecodeError("a notice does not say where it was published to (delivery_info)")
