"""What stands for a message whose headers cannot be told. Pure."""

from __future__ import annotations

from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.tables import unread
from celeriac.message import Message
from celeriac.wire.envelope import spare_id
from celeriac.wire.jsontypes import dumps


def unreadable(delivered: Delivered, queue: str) -> Message:
    """Return a message whose headers cannot be told, with what they are made of in their place."""
    return Message(
        task_id=spare_id(delivered.carried.properties),
        queue=queue,
        headers=dumps(unread(delivered.raw), name="headers"),
        body=delivered.carried.body,
    )
