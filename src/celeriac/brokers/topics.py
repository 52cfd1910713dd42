"""What a listener wants to hear: an exchange, and a pattern of routing keys as in AMQP's topic exchanges. Pure."""

from __future__ import annotations

import functools
import re

import msgspec


class Topic(msgspec.Struct, frozen=True, gc=False):
    """Name what is to be heard.

    Attributes:
        exchange: the conversation.
        pattern: which routing keys of it: words with dots between them, where ``*`` is any one word and ``#`` any
            number of words, none included. The default is everything; control commands have the empty key.
    """

    exchange: str
    pattern: str = "#"

    def includes(self, exchange: str, routing_key: str) -> bool:
        """Say whether what is said under this address is to be heard."""
        return exchange == self.exchange and (
            self.pattern in ("#", routing_key) or _compiled(self.pattern).fullmatch(_ended(routing_key)) is not None
        )


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    kinds = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    words = pattern.split(".") if pattern else []
    return re.compile("".join(kinds.get(word, re.escape(f"{word}.")) for word in words))


def _ended(routing_key: str) -> str:
    """Give each word a dot behind it, so that no words are no text."""
    return f"{routing_key}." if routing_key else ""
