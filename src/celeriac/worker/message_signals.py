"""The signals of claimed messages, sent by the supervisor: their runs have no process yet.

What they carry is read for receivers only. Bodies are decoded where they are JSON: no pickle is opened here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.signals import task_received, task_rejected, task_unknown
from celeriac.app.task import Task
from celeriac.exceptions import DecodeError, NotRegistered
from celeriac.message import Message
from celeriac.wire.headers import read_headers
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import TaskRequest, read_request
from celeriac.wire.times import parse_iso
from celeriac.worker.announcing import Announcer
from celeriac.worker.instance import Worker

TOLD_WITHIN: Final = 1.0
"""Seconds that messages wait for receivers of `task_received` before they begin all the same."""


class Request(Context, kw_only=True, eq=False):
    """Be the request of a message that was claimed: `task.request`, with the names that Celery's has in a worker."""

    @property
    def name(self) -> str | None:
        """The name of the task, or what logs show instead."""
        return self.shadow or self.task

    @property
    def task_name(self) -> str | None:
        """The same."""
        return self.name

    @property
    def task_id(self) -> str | None:
        """The id."""
        return self.id

    @property
    def type(self) -> str | None:
        """The name of the task."""
        return self.task


_NAME_OF_TASK: Final = vars(Context)["task"]
_ETA_TEXT: Final = vars(Context)["eta"]
_EXPIRES_TEXT: Final = vars(Context)["expires"]


class ReceivedRequest(Request, kw_only=True, eq=False):
    """Be the request of a message that begins, as receivers of `task_received` know it from Celery.

    Other than in a body its `task` is the task, and its `eta` and `expires` are datetimes.

    Attributes:
        app: whose task it is.
        message: as it was claimed.
    """

    if TYPE_CHECKING:
        app: Celery
        message: SeenMessage
    else:

        @property
        def task(self) -> Task[..., Any] | None:
            return self.current

        @property
        def eta(self) -> datetime | None:
            return self._instant(_ETA_TEXT.__get__(self))

        @property
        def expires(self) -> datetime | None:
            return self._instant(_EXPIRES_TEXT.__get__(self))

    @property
    def name(self) -> str | None:
        return self.shadow or self.type

    @property
    def type(self) -> str | None:
        name: str | None = _NAME_OF_TASK.__get__(self)
        return name

    @property
    def time_limits(self) -> Any:
        """The limits that the message sets, hard and soft."""
        return self.timelimit

    @property
    def request_dict(self) -> dict[str, Any]:
        """The headers of the message."""
        return self.message.headers

    @property
    def body(self) -> bytes:
        """The body of the message."""
        return self.message.body

    def info(self, safe: bool = False) -> dict[str, Any]:
        """Tell of it as remote control does.

        Args:
            safe: arguments as the text that their sender has described them by.
        """
        return {
            "id": self.id,
            "name": self.name,
            "args": self.argsrepr if safe else self.args,
            "kwargs": self.kwargsrepr if safe else self.kwargs,
            "type": self.type,
            "hostname": self.hostname,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": self.delivery_info,
            "worker_pid": None,
        }

    def humaninfo(self) -> str:
        """Return what log lines call it."""
        return f"{self.name}[{self.id}]"

    def __str__(self) -> str:
        return self.humaninfo()

    def _instant(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        try:
            return datetime.fromtimestamp(parse_iso(text, zone=self.app.conf.zone), UTC)
        except ValueError:
            return None  # whoever decides on the message says what is wrong with it


class SeenMessage:
    """Be a claimed message as Celery shows it to receivers.

    Attributes:
        body: bytes.
        content_type: of the body.
        content_encoding: of the body.
        delivery_info: where it waited.
    """

    def __init__(self, message: Message) -> None:
        self._message = message
        self.body = message.body
        self.content_type = message.content_type
        self.content_encoding = message.content_encoding
        self.delivery_info = {"exchange": "", "routing_key": message.queue, "priority": message.priority}

    @property
    def headers(self) -> dict[str, Any]:
        """The headers; none where they cannot be read."""
        return _object(self._message.headers)

    @property
    def properties(self) -> dict[str, Any]:
        """What the message says beside them."""
        return {"correlation_id": self._message.task_id, **_object(self._message.properties or b"{}")}

    @property
    def payload(self) -> Any:
        """The decoded body.

        Raises:
            DecodeError: it is no JSON, or broken.
        """
        if self.content_type != "application/json":
            raise DecodeError(f"the body is {self.content_type!r}, which is not decoded in a supervisor")
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DecodeError(str(error)) from error

    def __repr__(self) -> str:
        return f"<Message of {self._message.task_id} in {self._message.queue}: {len(self.body)} bytes>"


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def received_request(message: Message, app: Celery, task: str, *, node: str) -> ReceivedRequest:
    """Make the request that receivers of `task_received` get."""
    limits, known = app.conf.limits, app.tasks.get(task)
    request = ReceivedRequest.from_request(_read(message, limits), task=known, queue=message.queue, hostname=node)
    request.app = app
    request.message = SeenMessage(message)
    return request


def request_of(message: Message, task: Task[..., Any] | None, *, node: str, limits: Limits) -> Request:
    """Make the request that a message is, with its arguments where the body is JSON."""
    return Request.from_request(_read(message, limits), task=task, queue=message.queue, hostname=node)


def _read(message: Message, limits: Limits) -> TaskRequest:
    try:
        return read_request(message, limits=limits)
    except DecodeError:
        headers, custom, _ = read_headers(message.headers, limits=limits)
        return TaskRequest(**msgspec.structs.asdict(headers), headers=custom, priority=message.priority)


class MessageSignals:
    """Tell what becomes of messages when they are claimed.

    Args:
        app: its tasks are known.
        node: the name of this node.
        worker: the sender, or None.
        announcer: calls the receivers.
    """

    def __init__(self, app: Celery, node: str, worker: Worker | None, announcer: Announcer) -> None:
        self._app = app
        self._node = node
        self._worker = worker
        self._announcer = announcer

    @property
    def is_behind(self) -> bool:
        """Whether so much is still to be told that no more should be claimed."""
        return self._announcer.is_behind

    @property
    def tells_received(self) -> bool:
        """Whether anybody wants to know of messages before they begin."""
        return bool(task_received.receivers)

    async def received_told(self) -> None:
        """Wait until receivers know of all messages that were received; for those that hang, not for long."""
        await self._announcer.catch_up(TOLD_WITHIN)

    def received(self, message: Message, task: str) -> None:
        """Tell of one whose task is known here."""
        if self.tells_received:
            self._announcer.say("task_received", lambda: self._tell_received(message, task))

    def _tell_received(self, message: Message, task: str) -> None:
        request = received_request(message, self._app, task, node=self._node)
        task_received.send(sender=self._worker, request=request)

    def unknown(self, message: Message, task: str) -> None:
        """Tell of one whose task is not registered here."""
        if task_unknown.receivers:
            seen, error = SeenMessage(message), NotRegistered(task)
            self._announcer.say(
                "task_unknown",
                lambda: task_unknown.send(sender=self._worker, message=seen, exc=error, name=task, id=message.task_id),
            )

    def rejected(self, message: Message, error: Exception) -> None:
        """Tell of one that is none, or cannot be read."""
        if task_rejected.receivers:
            seen = SeenMessage(message)
            self._announcer.say(
                "task_rejected", lambda: task_rejected.send(sender=self._worker, message=seen, exc=error)
            )
