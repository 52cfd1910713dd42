"""Tell events from a program or a task. What cannot be said within seconds is lost: nobody waits for a monitor."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from celeriac.app.current import current_app
from celeriac.app.events.task_events import sender_name
from celeriac.exceptions import OperationalError
from celeriac.wire.events import Event as EventDict
from celeriac.wire.events import group_of, hours_west, made, notice_of
from celeriac.wire.serializers import writer_named

if TYPE_CHECKING:
    from celeriac.app.application import Celery

SAID_WITHIN: Final = 2.0
"""Seconds after which an event that could not be said is given up."""

_KEPT_MAX: Final = 1_000


def Event(
    type: str,
    _fields: Mapping[str, Any] | None = None,
    __dict__: Callable[..., EventDict] = dict,
    __now__: Callable[[], float] = time.time,
    **fields: Any,
) -> EventDict:
    """Make an event of a type, with the time of now unless `fields` has a timestamp."""
    event = __dict__(_fields, **fields) if _fields else __dict__(fields)
    event.setdefault("timestamp", __now__())
    event["type"] = type
    return event


class EventDispatcher:
    """Tell events to whoever listens on the bus of an app. Safe in any thread, and after a fork.

    Args:
        connection, channel: of no effect; taken because Celery has them.
        hostname: who tells them; None is ``gen<pid>@<host>``.
        enabled: tell them from the start; False waits for `enable`.
        buffer_while_offline: keep up to 1,000 events that could not be said, for `flush`; else the error is raised.
        app: None is the current one.
        serializer: how they are written; None is `event_serializer`.
        groups: tell events of these groups only, such as ``{"task"}``; nothing is all of them.
        delivery_mode: of no effect; events are never stored.
        buffer_group: groups whose events are gathered, and said together.
        buffer_limit: how many of them are gathered at most.
        on_send_buffered: called when gathered events were said.

    Attributes:
        enabled: whether events are told.
        groups: as given; others may be added.
        clock: the logical clock of the app.
        pid: of this process.
        on_enabled, on_disabled: functions to call when that changes.
    """

    DISABLED_TRANSPORTS: Final = frozenset({"sql"})

    def __init__(
        self,
        connection: Any = None,
        hostname: str | None = None,
        enabled: bool = True,
        channel: Any = None,
        buffer_while_offline: bool = True,
        app: Celery | None = None,
        serializer: str | None = None,
        groups: Iterable[str] | None = None,
        delivery_mode: int = 1,
        buffer_group: Iterable[str] | None = None,
        buffer_limit: int = 24,
        on_send_buffered: Callable[[], object] | None = None,
    ) -> None:
        self.app = app or current_app()
        self.connection = connection
        self.channel = channel
        self.hostname = hostname or sender_name()
        self.enabled = enabled
        self.buffer_while_offline = buffer_while_offline
        self.serializer = serializer or self.app.conf.event_serializer
        self.groups = set(groups or ())
        self.delivery_mode = delivery_mode
        self.buffer_group = frozenset(buffer_group or ())
        self.buffer_limit = buffer_limit
        self.on_send_buffered = on_send_buffered
        self.on_enabled: set[Callable[[], object]] = set()
        self.on_disabled: set[Callable[[], object]] = set()
        self._writer = writer_named(self.serializer)
        self._lock = threading.Lock()
        self._gathered: dict[str, list[EventDict]] = {}
        self._kept: deque[EventDict] = deque(maxlen=_KEPT_MAX)

    @property
    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()

    @property
    def clock(self) -> Any:
        """The logical clock."""
        return self.app.clock

    def send(
        self,
        type: str,
        blind: bool = False,
        utcoffset: Callable[[], float] = hours_west,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        Event: Callable[..., EventDict] = Event,  # noqa: N803 - Celery's name
        **fields: Any,
    ) -> None:
        """Tell one event.

        Args:
            type: ``group-name``, such as ``task-progress``.
            blind: leave the logical clock as it is.
            utcoffset: tells how many hours this place is west of UTC.
            retry, retry_policy: of no effect; it is tried for 2 seconds.
            Event: of no effect; taken because Celery has it.
            fields: its own fields; what `event_serializer` can write.

        Raises:
            EncodeError: a field cannot be written.
            BrokerUnavailable: it could not be said in time, and nothing is kept (`buffer_while_offline`).
            ImproperlyConfigured: the broker has no bus.
        """
        if not self.enabled or (self.groups and group_of(type) not in self.groups):
            return
        event = self._made(type, fields, blind=blind, utcoffset=utcoffset())
        if group_of(type) in self.buffer_group:
            self._gather(event)
        else:
            self._say(event)

    def publish(
        self,
        type: str,
        fields: Mapping[str, Any],
        producer: Any = None,
        blind: bool = False,
        Event: Callable[..., EventDict] = Event,  # noqa: N803 - Celery's name
        **options: Any,
    ) -> None:
        """Tell one event at once, whatever its group, and whether or not events are enabled.

        Args:
            producer, Event, options: of no effect; taken because Celery has them.
        """
        self._say(self._made(type, fields, blind=blind, utcoffset=hours_west()))

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Tell what is kept because it could not be said, and what is gathered.

        Raises:
            BrokerUnavailable: it cannot be said now either; it stays kept.
        """
        if errors:
            while self._kept:
                event = self._kept.popleft()
                try:
                    self._broadcast(event)
                except OperationalError:
                    self._kept.appendleft(event)
                    raise
        if groups:
            with self._lock:
                gathered, self._gathered = self._gathered, {}
            for events in gathered.values():
                self._broadcast(events)
            if gathered and self.on_send_buffered is not None:
                self.on_send_buffered()

    def extend_buffer(self, other: EventDispatcher) -> None:
        """Take over what another one keeps."""
        self._kept.extend(other._kept)

    def enable(self) -> None:
        """Tell events from now on."""
        self.enabled = True
        for call in self.on_enabled:
            call()

    def disable(self) -> None:
        """Tell none from now on."""
        if self.enabled:
            self.enabled = False
            self.close()
            for call in self.on_disabled:
                call()

    def close(self) -> None:
        """Tell what is gathered. May be called twice; the connection is the app's and stays."""
        if self._gathered:
            self.flush(errors=False)

    def _made(self, kind: str, fields: Mapping[str, Any], *, blind: bool, utcoffset: float) -> EventDict:
        clock = self.app.clock.value if blind else self.app.clock.forward()
        return made(
            kind, fields, hostname=self.hostname, pid=self.pid, clock=clock, at=time.time(), utcoffset=utcoffset
        )

    def _gather(self, event: EventDict) -> None:
        with self._lock:
            gathered = self._gathered.setdefault(group_of(event["type"]), [])
            gathered.append(event)
            is_full = len(gathered) >= self.buffer_limit
        if is_full:
            self.flush(errors=False)

    def _say(self, event: EventDict) -> None:
        try:
            self._broadcast(event)
        except OperationalError:
            if not self.buffer_while_offline:
                raise
            self._kept.append(event)

    def _broadcast(self, events: EventDict | list[EventDict]) -> None:
        notice = notice_of(
            events, exchange=self.app.conf.event_exchange, hostname=self.hostname, serializer=self._writer
        )
        self.app.bus.broadcast([notice], deadline_at=time.monotonic() + SAID_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
