"""A message as it travels: what a producer publishes and a worker claims.

The parts are kept as bytes on purpose. Between `delay()` and the child that runs the task nobody needs more of a
message than its routing and the few headers that decisions are taken on, so nobody decodes more.
"""

from __future__ import annotations

import msgspec


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

    @property
    def size_bytes(self) -> int:
        """Bytes that the message weighs against `message_max_bytes`."""
        return len(self.headers) + len(self.body) + (0 if self.properties is None else len(self.properties))
