"""What a message's properties say beyond what the rest of the message implies.

Of Celery's properties most can be told from the message itself: the correlation id is the task id, the delivery is
persistent, the priority is a column. Storing only the others, which are usually none, made batches a third cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.jsontypes import dumps, loads

PERSISTENT: Final = 2

_IMPLIED: Final = frozenset({"priority", "body_encoding", "delivery_tag"})


_ONLY_REPLY_TO: Final = b'{"reply_to": '


@lru_cache(maxsize=64)
def only_reply_to(reply_to: str) -> bytes:
    """Write the properties of nearly all messages that come from Celery, or go to it: they name a queue for answers."""
    return b"%b%b}" % (_ONLY_REPLY_TO, encode_basestring_ascii(reply_to).encode())


@lru_cache(maxsize=64)
def reply_to_alone(properties: bytes) -> bytes | None:
    """Return the JSON text of the queue for answers if properties name nothing else, by their looks alone."""
    if properties.startswith(_ONLY_REPLY_TO) and properties.count(b'"') == 4 and b"\\" not in properties:
        return properties[len(_ONLY_REPLY_TO) : -1]
    return None


def split_properties(full: Mapping[str, Any], *, task_id: str, queue: str) -> bytes | None:
    """Return as JSON what must be kept of a message's properties, or None when nothing must."""
    kept = {
        name: value
        for name, value in full.items()
        if name not in _IMPLIED and value is not None and value != _default(name, task_id, queue)
    }
    return dumps(kept, name="properties") if kept else None


def merge_properties(message: Message, *, exchange: str = "", routing_key: str | None = None) -> dict[str, Any]:
    """Return a message's properties as Celery has them, transport's own (tag, body encoding) excepted.

    Raises:
        DecodeError: what was kept of them is not a JSON object.
    """
    kept = read_properties(message)
    delivery_info = {"exchange": exchange, "routing_key": message.queue if routing_key is None else routing_key}
    return {
        "correlation_id": message.task_id,
        "delivery_mode": PERSISTENT,
        "delivery_info": delivery_info,
        "priority": message.priority,
    } | kept


def read_properties(message: Message) -> dict[str, Any]:
    """Return only those properties that were kept."""
    if message.properties is None:
        return {}
    kept = loads(message.properties, name="properties")
    if not isinstance(kept, dict):
        raise DecodeError(f"properties of message {message.task_id} are not a JSON object")
    return kept


def _default(name: str, task_id: str, queue: str) -> object:
    match name:
        case "correlation_id":
            return task_id
        case "delivery_mode":
            return PERSISTENT
        case "delivery_info":
            return {"exchange": "", "routing_key": queue}
    return None
