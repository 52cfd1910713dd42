"""Tell steps of users which other nodes come, go, and fall silent (Celery's ``gossip.on``)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.events.seen import Worker
from celeriac.app.events.state import State
from celeriac.brokers.topics import Topic
from celeriac.exceptions import DecodeError
from celeriac.wire.events import read_events
from celeriac.wire.notices import Notice
from celeriac.worker.background import Background
from celeriac.worker.daemons import in_daemon
from celeriac.worker.instance import NodeHandlers

logger: Final = logging.getLogger("celeriac.worker")

_LOOK_EVERY: Final = 5.0
_TOLD_MAX: Final = 10_000
_KINDS: Final = ("worker-online", "worker-heartbeat", "worker-offline")


class Neighbours:
    """Hear the heartbeats of other nodes. Handlers are called in a thread, one after another.

    Args:
        app: on whose bus.
        node: the name of this node, of which nothing is told.
        on: the handlers.
    """

    def __init__(self, app: Celery, node: str, on: NodeHandlers) -> None:
        self._node = node
        self._on = on
        self._limits = app.conf.limits
        self._state = State(
            on_node_join=lambda worker: self._tell(on.node_join, worker),
            on_node_leave=lambda worker: self._tell(on.node_leave, worker),
        )
        self.topic = Topic(app.conf.event_exchange, "worker.#")
        self._line: asyncio.Queue[Callable[[], object]] = asyncio.Queue(_TOLD_MAX)
        self._looking = Background(self._look, "neighbours")
        self._telling = Background(self._call, "neighbours-told")

    def start(self) -> None:
        """Begin to look for those that have fallen silent."""
        self._looking.start()
        self._telling.start()

    async def stop(self) -> None:
        """Tell no more. May be called twice, or before `start`."""
        await self._looking.stop()
        await self._telling.stop()

    def hear(self, notice: Notice) -> None:
        """Take in what was said under `topic`; what is no event of that kind is left out."""
        try:
            events, _ = read_events(notice, limits=self._limits)
        except DecodeError:
            return
        for event in events:
            if event["type"] in _KINDS and event["hostname"] != self._node:
                self._state.event({**event, "local_received": time.time()})

    def look(self) -> None:
        """Tell of those that have been silent for too long, and forget them."""
        for name, worker in list(self._state.workers.items()):
            if not worker.alive:
                if worker.heartbeats:
                    logger.info("missed heartbeat from %s", worker.hostname)
                    self._tell(self._on.node_lost, worker)
                self._state.workers.pop(name, None)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self.look()

    def _tell(self, handlers: Iterable[Callable[[Worker], object]], worker: Worker) -> None:
        for handler in tuple(handlers):
            if not self._line.full():
                self._line.put_nowait(partial(handler, worker))

    async def _call(self) -> None:
        while True:
            call = await self._line.get()
            try:
                await in_daemon(call)
            except Exception:
                logger.exception("what a step wants to hear of other nodes failed")
