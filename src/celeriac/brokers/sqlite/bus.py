"""A bus for the processes of one machine, in a file beside the database of the SQLite broker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from celeriac.brokers.bus import REPLY_EXPIRES, Bus, BusCapabilities, Inbox, Station, check_sizes
from celeriac.brokers.mailbox import MAILBOX, Mailbox
from celeriac.brokers.sqlite.listening import Listening
from celeriac.brokers.sqlite.notices import (
    HAS_ANSWERS,
    BusStore,
    Work,
    answering,
    leaving,
    saying,
    staying,
    take_answers,
)
from celeriac.brokers.sqlite.place import open_beside, prepare
from celeriac.brokers.sqlite.store import READ_TIMEOUT, Store
from celeriac.brokers.subscription import KEEP, Subscription
from celeriac.brokers.topics import Topic
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import BrokerUnavailable
from celeriac.ids import new_id
from celeriac.wire.notices import Notice

logger: Final = logging.getLogger("celeriac.bus")

_SYNCHRONOUS: Final = "OFF"  # a power cut may take what may be lost anyway
_LOOK_EVERY: Final = 0.1
"""Seconds after which an asker looks although no bell rang, for watches that turn out blind."""

_AT_LEAST: Final = 0.1
"""Seconds that a step of `collect` may take when its deadline is over, as it is for who only looks."""


class SqliteBus(Bus):
    """Say things to the other processes of this machine that use one SQLite file.

    Args:
        path: the file of the broker; the bus lies beside it, with the same access.
        clock: what notices and inboxes age by; tests pass their own.
    """

    capabilities = BusCapabilities(crosses_processes=True, crosses_machines=False, reaches_celery=False)

    def __init__(self, path: Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = Path(os.path.realpath(path))
        self._path = Path(f"{self._database}-bus")
        self._clock = clock

    @property
    def url(self) -> str:
        return f"sqlite:///{self._database}"

    def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if notices:
            self._write(saying(notices, now=self._clock.now()), deadline_at, "broadcasting").work.ring()

    def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if notices:
            self._write(answering(notices, now=self._clock.now()), deadline_at, "answering").done.ring()

    def inbox(
        self, exchange: str, *, deadline_at: float, expires: float = REPLY_EXPIRES, mailbox: Mailbox = MAILBOX
    ) -> SqliteInbox:
        inbox = SqliteInbox(self, exchange, expires, self._clock)
        inbox.stay(deadline_at)
        return inbox

    def station(self) -> SqliteStation:
        return SqliteStation(self, self._clock)

    def close(self) -> None:
        BusStore.close_at(self._path, _SYNCHRONOUS)

    def store(self, deadline_at: float) -> Store:
        """Return this process's open file, made when it is not there.

        Raises:
            BrokerUnavailable: it cannot be opened.
        """
        if not self._path.exists():
            prepare(self._database)
            os.close(open_beside(self._database, "-bus"))
        return BusStore.at(self._path, _SYNCHRONOUS, deadline_at=deadline_at)

    def _write(self, work: Work, deadline_at: float, doing: str) -> Store:
        store = self.store(deadline_at)
        store.write(work, deadline_at=deadline_at, doing=doing)
        return store


class SqliteInbox(Inbox):
    """Receive answers from processes of this machine."""

    def __init__(self, bus: SqliteBus, exchange: str, expires: float, clock: Clock) -> None:
        self.exchange = exchange
        self.routing_key = new_id()
        self._bus = bus
        self._expires = expires
        self._clock = clock

    @property
    def _address(self) -> tuple[str, str]:
        return self.exchange, self.routing_key

    def stay(self, deadline_at: float) -> None:
        """Say that the asker lives."""
        now = self._clock.now()
        work = staying(self._address, now=now, expires_at=now + self._expires)
        self._bus.store(deadline_at).write(work, deadline_at=deadline_at, doing="opening an inbox")

    def collect(self, *, deadline_at: float) -> list[Notice]:
        store = self._bus.store(_time_for_a_step(deadline_at))  # held on to: its bell must not be closed meanwhile
        watch = store.done.watch()
        stay_at = 0.0
        try:
            while True:
                watch.drain()
                if time.monotonic() >= stay_at:
                    self.stay(_time_for_a_step(deadline_at))
                    stay_at = time.monotonic() + self._expires / 3
                if store.read(HAS_ANSWERS, self._address):
                    return store.write(
                        lambda connection: take_answers(connection, self._address),
                        deadline_at=_time_for_a_step(deadline_at),
                        doing="collecting answers",
                    )
                left = deadline_at - time.monotonic()
                if left <= 0:
                    return []
                watch.sleep(min(left, _LOOK_EVERY))
        finally:
            store.done.rest(watch)

    def close(self) -> None:
        deadline_at = time.monotonic() + READ_TIMEOUT
        try:
            self._bus.store(deadline_at).write(
                leaving(self._address), deadline_at=deadline_at, doing="closing an inbox"
            )
        except BrokerUnavailable as exc:
            logger.debug("an inbox is left to expire: %s", exc)


class SqliteStation(Station):
    """Say things, and listen, in one event loop.

    Transactions run in the loop's own thread when the locks are free, and else in a thread that waits in its place.
    """

    def __init__(self, bus: SqliteBus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._store: Store | None = None
        self._listening: list[Listening] = []

    async def broadcast(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if notices:
            (await self._write(saying(notices, now=self._clock.now()), deadline_at, "broadcasting")).work.ring()

    async def reply(self, notices: Sequence[Notice], *, deadline_at: float) -> None:
        check_sizes(notices)
        if notices:
            (await self._write(answering(notices, now=self._clock.now()), deadline_at, "answering")).done.ring()

    async def subscribe(
        self, topics: Sequence[Topic], *, deadline_at: float, keep: int = KEEP, mailbox: Mailbox = MAILBOX
    ) -> Subscription:
        store = await self._opened(deadline_at)
        listening = Listening(store, topics, keep, lambda: self._bus.store(time.monotonic() + _AT_LEAST))
        self._listening.append(listening)
        return listening.subscription

    async def close(self) -> None:
        while self._listening:
            await self._listening.pop().subscription.close()
        self._store = None

    async def _write(self, work: Work, deadline_at: float, doing: str) -> Store:
        store = await self._opened(deadline_at)
        if store.write_at_once(work, doing=doing) is None:
            await asyncio.to_thread(store.write, work, deadline_at=deadline_at, doing=doing)
        return store

    async def _opened(self, deadline_at: float) -> Store:
        if self._store is None or not self._store.is_current():
            self._store = await asyncio.to_thread(self._bus.store, deadline_at)
        return self._store


def _time_for_a_step(deadline_at: float) -> float:
    return max(deadline_at, time.monotonic() + _AT_LEAST)
