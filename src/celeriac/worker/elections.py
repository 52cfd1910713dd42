"""Hold elections with the other nodes, and do what they are about where this node wins one.

An election is no lock. A node that hangs for longer than the others wait (`worker_election_wait`), or does not hear
them, may choose otherwise than they do.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from celeriac.app.application import Celery
from celeriac.brokers.topics import Topic
from celeriac.exceptions import DecodeError
from celeriac.wire.elections import ACK, ELECT, Candidate, Heard, leader_of, name_of, read_heard, standing
from celeriac.wire.events import read_events
from celeriac.wire.notices import Notice
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON_CONTENT, serializer_named
from celeriac.worker.daemons import in_daemon

logger: Final = logging.getLogger("celeriac.worker")

_ACK_AFTER: Final = 0.25
"""Seconds until a worker of Celery is answered: if it heard enough answers before it had heard of two candidates, it
would end with an error."""

_OPEN_MAX: Final = 1_000
_HEARD_MAX: Final = 10_000
_OVER_MAX: Final = 10_000

ElectionHandler = Callable[[Any], object]
"""Does what the winner of an election is to do, in a thread of the supervisor's process."""


class Teller(Protocol):
    """Send events in the name of this node."""

    def tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Send one."""
        ...


class Elections:
    """Stand where this node is asked to, hear the others, choose. Used in the loop's thread.

    Args:
        app: applies the signatures of the topic ``task``, which every node knows.
        node: its name.
        teller: sends its events.
        handlers: does other topics, by their names; may be added to at any time.
    """

    def __init__(self, app: Celery, node: str, teller: Teller, handlers: Mapping[str, ElectionHandler]) -> None:
        self._app = app
        self._node = node
        self._teller = teller
        self._handlers = handlers
        self._name = name_of(node, os.getpid())
        self._choose_after = app.conf.worker_election_wait
        self._open: dict[str, list[Heard]] = {}
        self._over: OrderedDict[str, None] = OrderedDict()
        self._timers: set[asyncio.TimerHandle] = set()
        self._deeds: set[asyncio.Task[None]] = set()
        serializer = serializer_named(app.conf.event_serializer)
        self._content_types = frozenset({JSON_CONTENT, *((serializer.content_type,) if serializer.plain else ())})
        self.topic = Topic(app.conf.event_exchange, "worker.elect.#")
        self._complained = False

    def stand(self, id: str, topic: str, action: Any) -> None:
        """Stand for an election, unless this node has chosen already."""
        if self._begun(id) is not None:
            self._teller.tell(ELECT, standing(id, topic, action))

    def hear(self, notice: Notice) -> None:
        """Take in what was said under `topic`. What is no part of an election is logged once and ignored."""
        try:
            events, faults = read_events(notice, self._content_types, limits=self._app.conf.limits)
        except DecodeError as exc:
            events, faults = [], [str(exc)]
        for event in events:
            said = read_heard(event)
            if said is None:
                faults.append(f"{event['type']} of {event['hostname']!r:.100} misses something")
                continue
            self._take_in(*said)
        if faults and not self._complained:
            self._complained = True
            logger.warning("ignored what is no part of an election: %s; more of them are not logged", faults[0])

    def stop(self) -> None:
        """Choose no more. May be called twice."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._open.clear()

    def _take_in(self, id: str, said: Heard) -> None:
        heard = self._begun(id)
        if heard is None or len(heard) >= _HEARD_MAX:
            return
        heard.append(said)
        if isinstance(said, Candidate) and not said.is_ours:
            self._later(_ACK_AFTER, partial(self._teller.tell, ACK, {"id": id}))

    def _begun(self, id: str) -> list[Heard] | None:
        """Return what was heard of an election; None when it is over, or there are too many."""
        heard = self._open.get(id)
        if heard is None and id not in self._over and len(self._open) < _OPEN_MAX:
            heard = self._open[id] = []
            self._later(self._choose_after, partial(self._choose, id))
        return heard

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        def ring() -> None:
            self._timers.discard(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, ring)
        self._timers.add(timer)

    def _choose(self, id: str) -> None:
        leader = leader_of(self._open.pop(id))
        self._over[id] = None
        if len(self._over) > _OVER_MAX:
            self._over.popitem(last=False)
        if leader is None:
            logger.warning("nobody stood for the election %r", id)
        elif leader.name != self._name:
            logger.info("node %s elected for %r", leader.name, id)
        else:
            logger.info("I won the election %r", id)
            self._act(id, leader)

    def _act(self, id: str, leader: Candidate) -> None:
        handler = self._handlers.get(leader.topic) or (self._call_task if leader.topic == "task" else None)
        if handler is None:
            logger.error(
                "the election %r is about the topic %r, which nothing here does; put a function into "
                "`worker.gossip.election_handlers` in a step of the app (app.steps)",
                id,
                leader.topic,
            )
            return
        deed = asyncio.create_task(self._do(id, partial(handler, leader.action)), name=f"election {leader.topic}")
        self._deeds.add(deed)
        deed.add_done_callback(self._deeds.discard)

    async def _do(self, id: str, call: Callable[[], object]) -> None:
        try:
            await in_daemon(call)
        except Exception:
            logger.exception("what this node was elected for (%r) failed", id)

    def _call_task(self, action: Any) -> None:
        if not isinstance(action, dict):
            raise TypeError(f"the topic 'task' takes a signature, got {bounded_repr(action)}")
        self._app.signature(action).apply_async()
