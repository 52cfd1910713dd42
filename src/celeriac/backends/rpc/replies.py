"""Answers to this process: one queue, one connection and one thread that reads it, for all who wait."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from celeriac.backends.base import StoredResult
from celeriac.brokers.amqp.dialing import listen
from celeriac.brokers.amqp.failures import LOST, driver
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.amqp.tables import UNREAD
from celeriac.brokers.amqp.topology import Queue
from celeriac.exceptions import BrokerUnavailable, CeleriacError
from celeriac.ids import new_id
from celeriac.states import READY_STATES
from celeriac.wire.told import told_state

if TYPE_CHECKING:
    import asyncio

logger: Final = logging.getLogger("celeriac.rpc")

KEEP: Final = 100_000
"""Answers that are held and were not asked for yet; the oldest are forgotten first."""

_OPENS_WITHIN: Final = 3.0
_KEPT_FOR: Final = 60.0
"""Seconds for which answers wait in a queue that nobody listens to: its process has ended, or connects again."""

_NAPS: Final = (0.0, 0.05, 0.2, 0.5, 1.0)

Found = dict[str, StoredResult]


class Replies:
    """Hold the answers that have come to this process from one virtual host."""

    def __init__(self, place: AmqpPlace, options: AmqpOptions, expires: float | None) -> None:
        self._place = place
        self._options = options
        self._expires = expires
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    @classmethod
    def at(cls, place: AmqpPlace, options: AmqpOptions, expires: float | None) -> Replies:
        """Return this process's answers from a place."""
        found = _shared.get(place)
        return found if found is not None else _shared.setdefault(place, cls(place, options, expires))

    def _begin(self) -> None:
        """Begin with a queue of this process's own."""
        self.name = new_id()
        self._held: OrderedDict[str, StoredResult] = OrderedDict()
        self._changed = threading.Condition()
        self._opening = threading.Lock()
        self._listeners: set[Callable[[], None]] = set()
        self._thread: threading.Thread | None = None
        self._listens = itertools.count(1)

    def open(self) -> str:
        """Have a queue before anything is called; return its name.

        Raises:
            OperationalError: it cannot be made.
        """
        if self._thread is None:
            deadline_at = time.monotonic() + _OPENS_WITHIN
            opening = self._opening
            if not opening.acquire(timeout=_OPENS_WITHIN):
                raise BrokerUnavailable(
                    f"rabbitmq at {self._place.address} did not answer within {_OPENS_WITHIN} s: opening a queue for "
                    "answers, in another thread"
                )
            try:
                self._begin_to_listen(deadline_at)
            finally:
                opening.release()
        return self.name

    def _begin_to_listen(self, deadline_at: float) -> None:
        if self._thread is None:
            connection = self._listen(deadline_at)
            self._thread = threading.Thread(target=self._read, args=(connection,), name="celeriac answers", daemon=True)
            self._thread.start()

    def _queue(self) -> Queue:
        """Return the queue: not one that goes with its consumer, for answers wait in it while we connect again."""
        seconds = _KEPT_FOR if self._expires is None else min(self._expires, _KEPT_FOR)
        return Queue(name=self.name, durable=True, arguments=(("x-expires", max(1, int(seconds * 1000))),))

    def _listen(self, deadline_at: float) -> Any:
        return listen(
            self._place,
            self._options,
            [self._queue()],
            self.name,
            self._receive,
            "opening a queue for answers",
            deadline_at=deadline_at,
            # Before whom the server has not noticed to be gone: it would have a share of what comes.
            priority=next(self._listens),
        )

    def _read(self, connection: Any) -> None:
        """Read answers for as long as the process lives; connect again when the connection is lost."""
        while True:
            try:
                while True:
                    connection.drain_events()
            except (*LOST, driver.AMQPError) as error:
                logger.debug("the connection for answers was lost: %r", error)
            except Exception:  # without this thread everybody would wait for ever
                logger.exception("the connection for answers begins anew: it brought what nobody can read")
            with contextlib.suppress(Exception):
                connection.collect()
            attempt = 0
            while True:
                time.sleep(_NAPS[min(attempt, len(_NAPS) - 1)])
                attempt += 1
                try:
                    connection = self._listen(time.monotonic() + _OPENS_WITHIN)
                    break
                except CeleriacError as error:
                    logger.debug("answers cannot be heard: %s", error)

    def _receive(self, message: Delivered) -> None:
        body = message.carried.body
        if UNREAD in message.carried.headers:
            logger.warning("left out an answer whose headers cannot be read")
            return
        task_id = str(message.carried.properties.get("correlation_id") or "")
        state = told_state(body)
        if state is None:
            logger.warning("left out an answer to %s that tells no state", task_id)
            return
        with self._changed:
            before = self._held.get(task_id)
            if before is not None and before.state in READY_STATES and state not in READY_STATES:
                return
            self._held[task_id] = StoredResult(task_id=task_id, state=state, record=body)
            if len(self._held) > KEEP:
                self._held.popitem(last=False)
            self._changed.notify_all()
            listeners = list(self._listeners)
        for ring in listeners:
            ring()

    # -- those who wait -----------------------------------------------------------------------------------------

    def among(self, task_ids: Collection[str]) -> Found:
        """Return what has come for these ids."""
        with self._changed:
            return {name: self._held[name] for name in task_ids if name in self._held}

    def wait(self, task_ids: Collection[str], timeout: float | None) -> Found:
        """Wait until at least one of these has ended; return all that have."""

        def found() -> Found:
            held = ((name, self._held.get(name)) for name in task_ids)
            return {name: one for name, one in held if one is not None and one.state in READY_STATES}

        if timeout != 0:
            self.open()
        with self._changed:
            return self._changed.wait_for(found, timeout) or {}

    def forget(self, task_ids: Collection[str]) -> None:
        """Hold these no longer."""
        with self._changed:
            for name in task_ids:
                self._held.pop(name, None)

    def listen(self, ring: Callable[[], None]) -> None:
        """Call `ring`, in any thread, whenever something has come."""
        with self._changed:
            self._listeners.add(ring)

    def unlisten(self, ring: Callable[[], None]) -> None:
        """Call it no more."""
        with self._changed:
            self._listeners.discard(ring)


_shared: dict[AmqpPlace, Replies] = {}


class LoopBell:
    """Tell an event loop that answers have come."""

    net = 5.0

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._ring: Callable[[], None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        def ring_in_loop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while somebody waited
                loop.call_soon_threadsafe(ring)

        self._ring = ring_in_loop
        self._replies.listen(ring_in_loop)

    def stop(self) -> None:
        if self._ring is not None:
            self._replies.unlisten(self._ring)
            self._ring = None
