"""Members of chords that end without a run, or without having told of it: they are counted as failed."""

from __future__ import annotations

import logging
import re
from typing import Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.members import Members
from celeriac.brokers.base import Settlement
from celeriac.brokers.joins import JoinEffects, Member
from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.states import FAILURE
from celeriac.wire.forms import RecordForm
from celeriac.wire.headers import read_headers
from celeriac.wire.members import write_item
from celeriac.wire.protocol import read_request
from celeriac.wire.results import exception_map
from celeriac.wire.serializers import JSON_CONTENT

logger: Final = logging.getLogger("celeriac.worker")

_CHORD: Final = re.compile(rb'"chord":\s*\{')


class Counting:
    """Add to settlements what they do to joins, in the supervisor, where no code of users runs.

    Of messages whose body is JSON it is known whether a chord waits for them. Of others that are in a group it is
    assumed; what is counted of a group that is no header is forgotten after a while.

    Args:
        form: how items are written.
    """

    def __init__(self, app: Celery, *, form: RecordForm) -> None:
        self._app = app
        self._form = form
        self._of_runs = Members(app, form)

    def add_to(self, settlement: Settlement, error: BaseException, *, state: str = FAILURE) -> Settlement:
        """Return the settlement of a message that ended by `error`, with the members that are counted because of it."""
        backend = self._app.backend
        if backend is None or not backend.counts_members:
            return settlement
        members = self._members(settlement.delivery.message, state, error)
        if not members:
            return settlement
        effects = JoinEffects(counts=members)
        if settlement.joins is not None:
            effects = msgspec.structs.replace(settlement.joins, counts=members)
        return msgspec.structs.replace(settlement, joins=effects)

    def _members(self, message: Message, state: str, error: BaseException) -> tuple[Member, ...]:
        try:
            if message.content_type == JSON_CONTENT and message.body:
                if _CHORD.search(message.body) is None and b'"compression"' not in message.headers:
                    return ()
                request = read_request(message, limits=self._app.conf.limits)
                return self._of_runs.failed(request, state, error)
        except DecodeError as exc:
            logger.debug("message %s is counted by its headers: %s", message.task_id, exc)
        return self._by_headers(message, state, error)

    def _by_headers(self, message: Message, state: str, error: BaseException) -> tuple[Member, ...]:
        """Return the member that a message is of which the body cannot be read here."""
        try:
            headers, _, _ = read_headers(message.headers, limits=self._app.conf.limits)
        except DecodeError:
            return ()  # nobody could say what it was
        if not isinstance(headers.group, str):
            return ()
        index = headers.group_index if isinstance(headers.group_index, int) else None
        item = write_item(message.task_id, state, exception_map(error, self._form), self._form)
        return (Member(headers.group, message.task_id, index, state, item),)
