"""Say the events of a node on the bus: gathered, a few times a second, and never so that anything waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from celeriac.app.application import Celery
from celeriac.brokers.bus import Station
from celeriac.exceptions import CeleriacError, ImproperlyConfigured
from celeriac.wire.events import MULTI, batch_of
from celeriac.wire.jsontypes import dumps, loads
from celeriac.wire.notices import Notice
from celeriac.wire.serializers import JSON, writer_named
from celeriac.worker.background import Background

logger: Final = logging.getLogger("celeriac.worker")

EVERY: Final = 0.1
"""Seconds for which events are gathered."""

_WITHIN: Final = 2.0

KEPT_MAX: Final = 50_000
"""Events that may wait to be said; what comes on top of that is lost."""

_AT_ONCE: Final = 500
_AT_ONCE_BYTES: Final = 512 * 1024


class EventStream:
    """Take events that are JSON objects, and broadcast them.

    Those of one routing key go out in their order; those of tasks as lists.

    Args:
        app: on whose bus.
        node: its name.
        before_flush: called before gathered events go out, to add some; says whether it wants to be called again
            although nothing was added meanwhile.
    """

    def __init__(self, app: Celery, node: str, *, before_flush: Callable[[], bool]) -> None:
        self._app = app
        self._exchange = app.conf.event_exchange
        self._headers = dumps({"hostname": node})
        self._writer = writer_named(app.conf.event_serializer)
        self._before_flush = before_flush
        self._of_tasks: list[str] = []
        self._singles: list[tuple[str, str]] = []
        self._lost = 0
        self._is_lossy = False
        self._wake = asyncio.Event()
        self._loop = Background(self._run, "events")
        self._station: Station | None = None

    def start(self) -> bool:
        """Begin; False where there is no bus."""
        try:
            self._station = self._app.bus.station()
        except ImproperlyConfigured as exc:
            logger.info("this node sends no events: %s", exc)
            return False
        self._loop.start()
        return True

    async def stop(self) -> None:
        """Say what is gathered, and end. May be called twice, or before `start`."""
        await self._loop.stop()
        station, self._station = self._station, None
        if station is None:
            return
        try:
            await self._flush(station)
            await station.close()
        except Exception:  # what this node holds must be given back all the same
            logger.exception("the station for events could not be closed")

    def add(self, event: str) -> None:
        """Gather an event of a task."""
        if len(self._of_tasks) < KEPT_MAX:
            self._of_tasks.append(event)
        else:
            self._lost += 1
        self._wake.set()

    def add_single(self, routing_key: str, event: str) -> None:
        """Gather an event that is said alone."""
        if len(self._singles) < KEPT_MAX:
            self._singles.append((routing_key, event))
        self._wake.set()

    def wake(self) -> None:
        """Have `before_flush` called."""
        self._wake.set()

    async def _run(self) -> None:
        assert self._station is not None
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._singles:  # those are few, and somebody may wait for them
                await asyncio.sleep(EVERY)
            try:
                await self._flush(self._station)
            except Exception:
                logger.exception("events were lost; sending goes on")

    async def _flush(self, station: Station) -> None:
        if self._before_flush():
            self._wake.set()
        singles, self._singles = self._singles, []
        of_tasks, self._of_tasks = self._of_tasks, []
        lost, self._lost = self._lost, 0
        if not (singles or of_tasks):
            return
        try:
            notices = [self._batch(batch) for batch in _divided(of_tasks)]
            notices += [self._notice(key, event) for key, event in singles]  # that a node goes comes last
            await station.broadcast(notices, deadline_at=time.monotonic() + _WITHIN)
        except CeleriacError as exc:
            self._note_loss(f"{len(singles) + len(of_tasks) + lost} events got lost: {exc}")
        else:
            self._note_loss(f"{lost} events got lost: the bus is too slow for them" if lost else "")

    def _note_loss(self, what: str) -> None:
        """Log the beginning of each time that events are lost."""
        if what and not self._is_lossy:
            logger.warning("%s; more are not logged until some get through", what)
        self._is_lossy = bool(what)

    def _notice(self, routing_key: str, event: str) -> Notice:
        if self._writer is JSON:
            return Notice(exchange=self._exchange, routing_key=routing_key, body=event.encode(), headers=self._headers)
        return self._written(routing_key, event)

    def _batch(self, events: list[str]) -> Notice:
        if self._writer is JSON:
            return batch_of(events, exchange=self._exchange, routing_key=f"task.{MULTI}", headers=self._headers)
        return self._written(f"task.{MULTI}", f"[{','.join(events)}]")

    def _written(self, routing_key: str, body: str) -> Notice:
        """Write with another serializer (`event_serializer`) what is JSON."""
        return Notice(
            exchange=self._exchange,
            routing_key=routing_key,
            body=self._writer.dumps(loads(body.encode()), name="event"),
            headers=self._headers,
            content_type=self._writer.content_type,
            content_encoding=self._writer.content_encoding,
        )


def _divided(events: list[str]) -> Iterator[list[str]]:
    """Divide events into batches of a number and a size that listeners can take."""
    batch: list[str] = []
    size_bytes = 0
    for event in events:
        if batch and (len(batch) >= _AT_ONCE or size_bytes + len(event) > _AT_ONCE_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(event)
        size_bytes += len(event)
    if batch:
        yield batch
