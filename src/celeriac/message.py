"""A message as it travels: what a producer publishes and a worker claims.

The parts are kept as bytes on purpose. Between `delay()` and the child that runs the task nobody needs more of a
message than its routing and the few headers that decisions are taken on, so nobody decodes more.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec


class OnConflict(enum.Enum):
    """Say what becomes of a message whose unique key another run has.

    SKIP leaves it out, RAISE all that is published with it. REPLACE gives it the key: the other one is not begun any
    more. KEEP is for the next attempt of a run, and for what a person puts back: it is published in any case, and has
    the key if that is free or its own. YIELD is for callbacks, where nobody could be told: it is published as replaced
    by the other one, and whoever claims it tells those who wait for it.
    """

    SKIP = "skip"
    REPLACE = "replace"
    RAISE = "raise"
    KEEP = "keep"
    YIELD = "yield"


class Unique(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Let one run at a time wait or run under a key.

    Attributes:
        key: what there may be only once in a store.
        lasts: seconds after which the key is free whatever became of the run, from the instant at which the message
            may be claimed.
        on_conflict: what becomes of the message when another run has the key.
    """

    key: str
    lasts: float
    on_conflict: OnConflict = OnConflict.SKIP


class Route(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Send a message to an exchange, which leads on to queues.

    Attributes:
        exchange: its name.
        routing_key: what it goes by, or "".
        kind: type of the exchange, or None when the sender does not know it.
        headers: what an exchange of headers goes by.
        mandatory: whether it is an error when no queue is reached; None: unless the exchange is for everybody.
    """

    exchange: str
    routing_key: str = ""
    kind: str | None = None
    headers: Mapping[str, Any] | None = None
    mandatory: bool | None = None


class Message(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Ask for one run of a task.

    Attributes:
        task_id: names the run; the same id may be published more than once.
        queue: where the message waits, already routed.
        headers: a JSON object, Celery message protocol 2 (`wire/protocol.py` reads and writes it).
        body: the serialized arguments.
        priority: 0 to 255; a lower number is served first, as on Celery's Redis broker.
        eta_at: unix instant before which the message is not to be claimed, or None.
        content_type: what `body` is.
        content_encoding: charset of a textual body, else ``binary``.
        properties: a JSON object with those message properties that differ from what the rest of the message
            implies (`wire/protocol.py`), or None when nothing does, which is the usual case.
        unique: for whoever publishes it; None in what was claimed, where the headers say the key.
        route: likewise: the exchange that is to lead it to queues, of which `queue` is not one then; or None.
    """

    task_id: str
    queue: str
    headers: bytes
    body: bytes
    priority: int = 0
    eta_at: float | None = None
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    properties: bytes | None = None
    unique: Unique | None = None
    route: Route | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes that the message weighs against `message_max_bytes`."""
        return len(self.headers) + len(self.body) + (0 if self.properties is None else len(self.properties))
