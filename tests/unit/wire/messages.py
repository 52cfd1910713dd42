"""Messages to read, as strangers would have put them into a queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from celeriac.exceptions import DecodeError
from celeriac.message import Message

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def message(headers: Any = None, body: Any = None, **parts: Any) -> Message:
    """Make a message of protocol 2 whose headers and body are what is given: bytes as they are, else as JSON."""
    found = {
        "task_id": "id-1",
        "queue": "q",
        "headers": _bytes({"task": "t", "id": "id-1"} if headers is None else headers),
        "body": _bytes([[], {}, EMBED] if body is None else body),
    }
    return Message(**found | parts)


def with_headers(**headers: Any) -> Message:
    """Make a message of protocol 2 that has these headers besides the needed ones."""
    return message({"task": "t", "id": "id-1"} | headers)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def refusal(read: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """Return what a reader says against its argument, or nothing when it reads it. Lets other exceptions through."""
    try:
        read(*args, **kwargs)
    except DecodeError as exc:
        return str(exc)
    return ""
