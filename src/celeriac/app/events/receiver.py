"""Hear events, in a blocking program."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.current import current_app
from celeriac.app.mailboxes import event_mailbox
from celeriac.brokers.subscription import Subscription
from celeriac.brokers.topics import Topic
from celeriac.exceptions import CeleriacError, DecodeError
from celeriac.ids import new_id
from celeriac.wire.events import Event, hours_west, read_events
from celeriac.wire.notices import Notice
from celeriac.wire.serializers import JSON_CONTENT, serializer_named

if TYPE_CHECKING:
    from celeriac.app.application import Celery

logger: Final = logging.getLogger("celeriac.events")

Handler = Callable[[Event], object]

_CONNECT_WITHIN: Final = 10.0
_LOOK_EVERY: Final = 1.0
"""Seconds after which a receiver looks whether it should stop."""

_SENT: Final = "task-sent"


class EventReceiver:
    """Hear the events of nodes and programs, Celery's as well, and call functions with them.

    Args:
        channel: of no effect; taken because Celery has it.
        handlers: functions by type of event; ``*`` takes those of all other types.
        routing_key: which events to hear: a pattern of types with dots, such as ``worker.#``.
        node_id: what this receiver is called; None is an id.
        app: None is the current one.
        accept: serializers that may be read besides JSON; None is `event_serializer`. Never pickles.
        queue_prefix, queue_ttl, queue_expires, queue_exclusive, queue_durable: of its queue, on RabbitMQ; None is what
            the settings say (`event_queue_prefix` and so on).

    Attributes:
        should_stop: set it to end `capture` within a second.
    """

    def __init__(
        self,
        channel: Any = None,
        handlers: Mapping[str, Handler] | None = None,
        routing_key: str = "#",
        node_id: str | None = None,
        app: Celery | None = None,
        queue_prefix: str | None = None,
        accept: frozenset[str] | set[str] | None = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_exclusive: bool | None = None,
        queue_durable: bool | None = None,
    ) -> None:
        self.app = app or current_app()
        self.channel = channel
        self.handlers: dict[str, Handler] = dict(handlers or {})
        self.routing_key = routing_key
        self.node_id = node_id or new_id()
        self.should_stop = False
        names = {self.app.conf.event_serializer} if accept is None else accept
        accepted = (serializer_named(name) for name in names)
        self._content_types = frozenset({JSON_CONTENT, *(one.content_type for one in accepted if one.plain)})
        self._mailbox = event_mailbox(
            self.app,
            self.node_id,
            prefix=queue_prefix,
            ttl=queue_ttl,
            expires=queue_expires,
            exclusive=queue_exclusive,
            durable=queue_durable,
        )
        self._complained = False

    def process(self, type: str, event: Event) -> None:
        """Call the function for one event, if there is one."""
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler is not None:
            handler(event)

    def capture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> None:
        """Hear events, and call the functions, until an end comes.

        Args:
            limit: notices to hear; None is no end.
            timeout: seconds that may pass without any; None is no end.
            wakeup: have all nodes send a heartbeat first.

        Raises:
            TimeoutError: nothing was heard for `timeout` seconds.
            BrokerUnavailable: listening could not begin.
            ImproperlyConfigured: the broker has no bus.
            RuntimeError: an event loop runs in this thread; call it in another (`asyncio.to_thread`).
        """
        for _ in self.itercapture(limit=limit, timeout=timeout, wakeup=wakeup):
            continue

    def itercapture(
        self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True
    ) -> Iterator[list[Event]]:
        """Do the same, and yield the events of each notice after the functions were called."""
        self.should_stop = False
        with asyncio.Runner() as runner:
            station = self.app.bus.station()
            try:
                topics = [Topic(self.app.conf.event_exchange, self.routing_key)]
                deadline_at = time.monotonic() + _CONNECT_WITHIN
                heard = runner.run(station.subscribe(topics, deadline_at=deadline_at, mailbox=self._mailbox))
                if wakeup:
                    self.wakeup_workers()
                for count, notice in enumerate(self._notices(runner, heard, timeout), start=1):
                    yield self._received(notice)
                    if self.should_stop or (limit is not None and count >= limit):
                        return
            finally:
                runner.run(station.close())

    def _notices(self, runner: asyncio.Runner, heard: Subscription, timeout: float | None) -> Iterator[Notice]:
        until = None if timeout is None else time.monotonic() + timeout
        while not self.should_stop:
            left = _LOOK_EVERY if until is None else min(_LOOK_EVERY, max(0.0, until - time.monotonic()))
            notices = runner.run(heard.hear(timeout=left))
            yield from notices
            if notices and timeout is not None:
                until = time.monotonic() + timeout
            elif until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no event was heard for {timeout:g} s")

    def wakeup_workers(self, channel: Any = None) -> None:
        """Have all nodes send a heartbeat, so that it is known who is there."""
        try:
            self.app.control.heartbeat()
        except CeleriacError as exc:
            logger.warning("nodes could not be asked for a heartbeat, and send one within seconds anyway: %s", exc)

    def event_from_message(
        self, body: Event, localize: bool = True, now: Callable[[], float] = time.time
    ) -> tuple[str, Event]:
        """Take one event in: adjust the logical clock, and its times to this machine's zone.

        Returns:
            Its type, and the event with `local_received`, the instant at which it was taken in.
        """
        kind = body["type"]
        clock = body.get("clock")
        if kind == _SENT:
            # Producers do not take part in the clock: what they send comes before all that is heard of it.
            body["clock"] = max(self.app.clock.value - 1, 0)
        elif clock is None:
            body["clock"] = self.app.clock.forward()
        else:
            self.app.clock.adjust(clock)
        if localize and "utcoffset" in body:
            body["timestamp"] -= (body["utcoffset"] - hours_west()) * 3600
        body["local_received"] = now()
        return kind, body

    def _received(self, notice: Notice) -> list[Event]:
        try:
            events, faults = read_events(notice, self._content_types)
        except DecodeError as exc:
            events, faults = [], [str(exc)]
        if faults and not self._complained:
            self._complained = True
            logger.warning("ignored what is no event: %s; more of them are not logged", faults[0])
        for event in events:
            self.process(*self.event_from_message(event))
        return events

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.routing_key!r} for {self.app!r}>"
