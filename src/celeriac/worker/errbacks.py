"""The errbacks of messages that end without a run: a dead letter answers those too."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.follow import errbacks_due
from celeriac.brokers.base import Settlement
from celeriac.brokers.joins import JoinEffects, together
from celeriac.message import Message
from celeriac.wire.protocol import read_request
from celeriac.wire.serializers import JSON_CONTENT

logger: Final = logging.getLogger("celeriac.worker")

_NONE: Final = b'"errbacks": null'


class Errbacks:
    """Add errbacks to settlements, in the supervisor, where no code of users runs.

    Those of readable JSON messages that take the id of the failed run are published with the settlement. One that is
    to be told the exception itself is called by the process of the run, of which there is none: it is named in the log.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    def add_to(self, settlement: Settlement, *, calls_inline: bool = False) -> Settlement:
        """Return the settlement with the messages of its errbacks.

        Args:
            calls_inline: a child will call those that are to be told the exception itself (`aftermath.py`).
        """
        message = settlement.delivery.message
        if message.content_type != JSON_CONTENT or _NONE in message.body or b'"errbacks"' not in message.body:
            return settlement
        try:
            following = self._messages(message, calls_inline)
        except Exception as exc:  # noqa: BLE001 - the message is one that something is wrong with
            logger.warning("the errbacks of message %s cannot be read: %s", message.task_id, exc)
            return settlement
        messages, joins = following
        if joins:
            before = [] if settlement.joins is None else [settlement.joins]
            settlement = msgspec.structs.replace(settlement, joins=together([*before, *joins]))
        return msgspec.structs.replace(settlement, publish=(*settlement.publish, *messages))

    def _messages(self, message: Message, calls_inline: bool) -> tuple[list[Message], list[JoinEffects] | None]:
        """Return the messages, and what sending them does to joins."""
        request = read_request(message, limits=self._app.conf.limits)
        task = self._app.tasks.get(request.task)
        context = Context.from_request(request, task=task, queue=message.queue)
        errbacks, inline = errbacks_due(context, app=self._app)
        for each in () if calls_inline else inline:
            logger.warning(
                "errback %s of message %s is not called: it takes the exception, which only the process of the run "
                "could give it; one that takes an id alone is sent",
                each.task.name,
                message.task_id,
            )
        messages = [
            message
            for each in errbacks
            for message in self._app.canvas.following(each, None, {}, context, announced=False)[0]
        ]
        return messages, context.joins
