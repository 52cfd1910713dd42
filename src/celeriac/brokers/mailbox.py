"""How the queue of a listener is kept, on a bus that has one for each."""

from __future__ import annotations

from typing import Final

import msgspec


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a listener's queue is kept, where a bus has one for each listener (RabbitMQ).

    Attributes:
        name: what it is called when it may outlive its connection: who comes back under this name in time hears what
            was said meanwhile. Empty: a new name each time.
        prefix: what other names begin with; empty: they end with the conversation.
        ttl: seconds for which something waits in it; None: for ever.
        expires: seconds after which it is deleted when nobody listens; None: never.
        exclusive: it belongs to one connection, and goes with it.
        durable: it outlives a restart of the server.
    """

    name: str = ""
    prefix: str = ""
    ttl: float | None = 300.0
    expires: float | None = 10.0
    exclusive: bool = True
    durable: bool = False


MAILBOX: Final = Mailbox()
"""How queues are kept where nobody says more."""
