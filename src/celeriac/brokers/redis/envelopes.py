"""Envelopes as transport options want them."""

from __future__ import annotations

from typing import Final, Literal

from celeriac.message import Message
from celeriac.wire.envelope import write_envelope


class Envelopes:
    """Write the envelopes that a process publishes.

    The queue for answers (`reply_to`) that Celery's messages name is in the message already: `app/send.py` names it.

    Args:
        body_encoding: transport option of that name; a body that is no text is in base64 whatever it says.
    """

    def __init__(self, body_encoding: Literal["base64", "utf-8"] = "base64") -> None:
        self._body_encoding: Final = body_encoding

    def write(self, message: Message, unique: str) -> bytes:
        """Write a message; `unique` becomes its delivery tag."""
        return write_envelope(message, delivery_tag=unique, body_encoding=self._body_encoding)
