"""Send events of messages and runs. What cannot be said is logged and lost: no task fails, nor waits, because of it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.events.dispatcher import SAID_WITHIN, EventDispatcher
from celeriac.app.events.task_events import event, head_of, quoted, sender_name, told_sent
from celeriac.exceptions import EncodeError, ImproperlyConfigured, OperationalError
from celeriac.wire.events import hours_west
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.notices import Notice
from celeriac.wire.serializers import writer_named

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.context import Context
    from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.events")


def tell_sent(app: Celery, messages: Sequence[Message]) -> None:
    """Tell of messages that the broker has: one event for each, as Celery's clients do."""
    conf = app.conf
    writer = writer_named(conf.event_serializer)
    name = sender_name()
    head = head_of(name, utcoffset=hours_west(), pid=os.getpid())
    headers = dumps({"hostname": name})
    notices = []
    for message in messages:
        says = told_sent(message, app.tasks, limits=conf.limits)
        if says is None:
            continue
        body = event(head, app.clock.forward(), quoted(message.task_id), says, time.time())
        notices.append(
            Notice(
                exchange=conf.event_exchange,
                routing_key="task.sent",
                body=body.encode() if writer.name == "json" else writer.dumps(loads(body.encode()), name="event"),
                headers=headers,
                content_type=writer.content_type,
                content_encoding=writer.content_encoding,
            )
        )
    try:
        app.bus.broadcast(notices, deadline_at=time.monotonic() + SAID_WITHIN)
    except (ImproperlyConfigured, OperationalError, EncodeError) as exc:
        logger.warning("the events of %d messages that were sent got lost: %s", len(notices), exc)


def tell_of_run(app: Celery, context: Context, kind: str, fields: Mapping[str, Any]) -> None:
    """Tell something of a run.

    Raises:
        EncodeError: a field cannot be written.
    """
    said = {"uuid": context.id, **fields}
    try:
        EventDispatcher(hostname=context.hostname, buffer_while_offline=False, app=app).send(kind, **said)
    except (ImproperlyConfigured, OperationalError) as exc:
        logger.warning("the event %s of task %s[%s] got lost: %s", kind, context.task, context.id, exc)
