"""A bus in the memory of one process: the reference for what the others must do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from celeriac.brokers.bus import REPLY_EXPIRES, Bus, BusCapabilities, Inbox, Station, check_sizes
from celeriac.brokers.mailbox import MAILBOX, Mailbox
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import BrokerUnavailable
from celeriac.ids import new_id
from celeriac.wire.notices import Notice


class MemoryBus(Bus):
    """Say things to listeners in this process.

    Args:
        name: buses of one name reach each other.
        clock: tells when an inbox has expired; tests pass their own.
    """

    capabilities = BusCapabilities(crosses_processes=False, crosses_machines=False, reaches_celery=False)

    def __init__(self, name: str = "default", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._room = room_named(name)
        self._clock = clock

    @property
    def url(self) -> str:
        return f"memory://{self._room.name}"

    def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        self._room.say(notices)

    def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        self._room.post(notices, now=self._clock.monotonic())

    def inbox(
        self, exchange: str, *, deadline_at: float, expires: float = REPLY_EXPIRES, mailbox: Mailbox = MAILBOX
    ) -> MemoryInbox:
        return MemoryInbox(self._room, exchange, expires, self._clock)

    def station(self) -> MemoryStation:
        return MemoryStation(self, self._room)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


class MemoryInbox(Inbox):
    """Receive answers from this process."""

    def __init__(self, room: Room, exchange: str, expires: float, clock: Clock) -> None:
        self.exchange = exchange
        self.routing_key = new_id()
        self._room = room
        self._expires = expires
        self._clock = clock
        with room.locked():
            self._stay()

    def collect(self, *, deadline_at: float) -> list[Notice]:
        # Real time, whatever the clock says: nobody would wake us when a test moves it.
        with self._room.locked():
            while True:
                box = self._stay()
                found, box.notices = box.notices, []
                left = deadline_at - time.monotonic()
                if found or left <= 0:
                    return found
                self._room.posted.wait(min(left, threading.TIMEOUT_MAX))

    def close(self) -> None:
        with self._room.locked():
            self._room.inboxes.pop((self.exchange, self.routing_key), None)

    def _stay(self) -> _Box:
        """Say that the asker lives."""
        expires_at = self._clock.monotonic() + self._expires
        box = self._room.inboxes.setdefault((self.exchange, self.routing_key), _Box(expires_at))
        box.expires_at = expires_at
        return box


class MemoryStation(Station):
    """Say things, and listen, in one event loop of this process."""

    def __init__(self, bus: MemoryBus, room: Room) -> None:
        self._bus = bus
        self._room = room
        self._subscriptions: list[Subscription] = []

    async def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        self._bus.broadcast(notices, deadline_at=deadline_at)

    async def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        self._bus.reply(notices, deadline_at=deadline_at)

    async def subscribe(
        self, topics: Sequence[Topic], *, deadline_at: float, keep: int = KEEP, mailbox: Mailbox = MAILBOX
    ) -> Subscription:
        async def stop() -> None:
            with self._room.locked():
                self._room.listeners.discard(subscription)

        subscription = Subscription(topics, keep, stop)
        with self._room.locked():
            self._room.listeners.add(subscription)
        self._subscriptions.append(subscription)
        return subscription

    async def close(self) -> None:
        while self._subscriptions:
            await self._subscriptions.pop().close()


@dataclass(slots=True)
class _Box:
    """Keep the answers to one asker, until a monotonic instant at which it must have died."""

    expires_at: float
    notices: list[Notice] = field(default_factory=list)


class Room:
    """Be where buses of one name meet. `inboxes` and `listeners` are touched under the lock only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inboxes: dict[tuple[str, str], _Box] = {}
        self.listeners: set[Subscription] = set()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self.posted = threading.Condition(self._lock)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads out.

        Raises:
            BrokerUnavailable: this is a forked copy of the room, where nobody is.
        """
        if os.getpid() != self._pid:
            raise BrokerUnavailable(
                f"the bus memory://{self.name} lives in process {self._pid} and this is process {os.getpid()}: "
                f"use a broker that crosses processes, such as sqlite://"
            )
        with self._lock:
            yield

    def say(self, notices: Sequence[Notice]) -> None:
        """Have every listener hear notices."""
        with self.locked():  # all the time, so that all listeners hear the same order
            for listener in self.listeners:
                listener.put(notices)

    def post(self, notices: Sequence[Notice], *, now: float) -> None:
        """Put notices into the inboxes that are open at a monotonic instant."""
        with self.locked():
            for address in [address for address, box in self.inboxes.items() if box.expires_at <= now]:
                del self.inboxes[address]
            for notice in notices:
                box = self.inboxes.get((notice.exchange, notice.routing_key))
                if box is not None:
                    box.notices.append(notice)
            self.posted.notify_all()


_rooms: dict[str, Room] = {}
_rooms_lock = threading.Lock()


def room_named(name: str) -> Room:
    """Return the one room of that name in this process."""
    with _rooms_lock:
        return _rooms.setdefault(name, Room(name))
