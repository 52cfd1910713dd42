"""What becomes of a message that is larger than a worker takes. Pure."""

from __future__ import annotations

import msgspec

from celeriac.message import Message


def within_limit(message: Message, limit: int) -> tuple[Message, str | None]:
    """Return a message as it is handed over, and what is wrong with it; one that is too large goes without its parts.

    Args:
        limit: bytes (`message_max_bytes`).
    """
    if message.size_bytes <= limit:
        return message, None
    fault = f"message is {message.size_bytes} bytes, message_max_bytes allows {limit}"
    headers = message.headers if len(message.headers) <= limit else b""
    return msgspec.structs.replace(message, headers=headers, body=b"", properties=None), fault
