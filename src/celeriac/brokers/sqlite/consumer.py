"""The worker's side of the SQLite broker.

Transactions run in the loop's own thread when the locks are free, which they nearly always are: a hop to another
thread and back costs more than the commit. Only when somebody else writes does a thread wait instead of the loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    Booking,
    Claim,
    Consumer,
    Delivery,
    Incarnation,
    RateRequest,
    Release,
    ReleaseCause,
    ResultSink,
    Room,
    Settlement,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import spread
from celeriac.brokers.leases import ANSWER_WITHIN, Watcher
from celeriac.brokers.sqlite import keys, rooms
from celeriac.brokers.sqlite.bell import Watch
from celeriac.brokers.sqlite.bindings import BEHIND, bind, end_with, read_bindings
from celeriac.brokers.sqlite.claims import Taker, is_worth_it, next_due
from celeriac.brokers.sqlite.owners import DeadOwner, OwnerFile, remove_files, started_by
from celeriac.brokers.sqlite.revoked import VERSION, version_of
from celeriac.brokers.sqlite.rows import KEEP_LETTER, dead_row_of
from celeriac.brokers.sqlite.store import Store
from celeriac.brokers.topology import Binding
from celeriac.clock import Clock, until_tick
from celeriac.exceptions import BrokerUnavailable, LeaseLost
from celeriac.message import Message

T = TypeVar("T")

_WRITE_TIMEOUT: Final = 2.0

_SETTLE: Final = "DELETE FROM message WHERE id = ? AND owner = ?"
_BURY: Final = """
INSERT INTO dead_letter (
    queue, died_at, reason, priority, task_id, content_type, content_encoding, headers, properties, body)
SELECT queue, ?, ?, priority, task_id, content_type, content_encoding, headers, properties, body
FROM message WHERE id = ? AND owner = ?
"""
_RELEASE: Final = """
UPDATE message SET owner = NULL, held_before = 1, eta = ?, crashes = crashes + ?, releases = releases + ?,
    booking = ifnull(?, booking)
WHERE id = ? AND owner = ?
"""
_RELEASE_ALL: Final = "UPDATE message SET owner = NULL, held_before = 1 WHERE owner BETWEEN ? AND ?"

_STANDING: Final = f"SELECT EXISTS (SELECT 1 FROM owner WHERE number = ?), ({VERSION})"

_CLAIMS: Final = 1 << 32
"""Claims that one owner makes before their numbers begin anew."""


class SqliteConsumer(Consumer):
    """Claim and settle for one owner on one SQLite file."""

    def __init__(
        self,
        path: Path,
        synchronous: str,
        incarnation: Incarnation,
        message_max_bytes: int,
        clock: Clock,
        declared: Declared | None = None,
        aging: Aging | None = None,
    ) -> None:
        self._aging = Aging() if aging is None else aging
        self._declared = Declared() if declared is None else declared
        self._bound: tuple[str, ...] = ()
        self._path = path
        self._synchronous = synchronous
        self._incarnation = incarnation
        self._max_bytes = message_max_bytes
        self._clock = clock
        self._file: OwnerFile | None = None
        self._watch: Watch | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._watcher = Watcher()
        self._turn = 0
        self._claiming = 0
        self.owner = 0

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._let_go(remove=True)
        self._thread = ThreadPoolExecutor(1, "celeriac-sqlite")
        self._watch = self._store.work.watch()
        self.owner, self._file = await self._write(self._register, "registering this node")
        rows = self._store.read("SELECT number FROM owner")
        remove_files(self._path, but=[int(str(number)) for (number,) in rows])
        self._watcher = Watcher()
        self._bound = ()

    def _register(self, connection: sqlite3.Connection) -> tuple[int, OwnerFile]:
        described = msgspec.json.encode(self._incarnation).decode()
        cursor = connection.execute("INSERT INTO owner (incarnation) VALUES (?)", (described,))
        number = int(cursor.lastrowid or 0)
        # The lock is taken before the row can be seen: a visible owner without it is dead.
        try:
            return number, OwnerFile(self._path, number)
        except OSError as exc:
            raise BrokerUnavailable(
                f"cannot keep a file in {exc.filename or f'{self._path}-owners'} ({exc.strerror}); free some space, or "
                "make the folder writable for this user"
            ) from exc

    async def close(self) -> None:
        if self._file is None:
            return

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_RELEASE_ALL, _tokens_of(self.owner))
            end_with(connection, self.owner)
            connection.execute("DELETE FROM owner WHERE number = ?", (self.owner,))

        signed_off = False
        try:
            await self._write(work, "signing off")
            signed_off = True
            self._store.work.ring()
        finally:
            self._let_go(remove=signed_off)

    def abandon(self) -> None:
        """Leave as a SIGKILL would: the row and the claims stay, the lock goes."""
        self._let_go(remove=False)

    def _let_go(self, *, remove: bool) -> None:
        if self._file is not None:
            self._file.close(remove=remove)
        if self._watch is not None:
            self._watch.close()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        self._file = self._watch = self._thread = None

    # -- claiming -----------------------------------------------------------------------------------------------

    async def attend(self, queues: Sequence[str]) -> None:
        await self._bind(tuple(queues))

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        watch = self._watch
        if watch is None:
            raise BrokerUnavailable(f"this consumer of {self._path} is not open")
        until = time.monotonic() + wait
        if self._bound != queues:
            await self._bind(tuple(queues))
        while True:
            watch.drain()
            claim = await self._claim_now(queues, limit)
            left = until - time.monotonic()
            if claim.deliveries or left <= 0:
                return claim
            await asyncio.sleep(0)  # nothing below suspends when something is due that this node may not take
            await self._sleep(watch, min(left, self._until_due(claim.now)))

    async def _bind(self, queues: tuple[str, ...]) -> None:
        """Make known what leads to the queues that are claimed from now."""
        if queues == self._bound:
            return
        uncommon, before = self._declared.uncommon(queues), self._declared.uncommon(self._bound)
        if uncommon or before:
            leads = {queue: self._declared.leads_to(queue) for queue in uncommon}
            owners = {queue: self.owner for queue in uncommon if self._declared.belongs_to_node(queue)}

            def work(connection: sqlite3.Connection) -> None:
                sql = "SELECT 1 FROM owner WHERE number = ?"
                self._check_lease(connection.execute(sql, (self.owner,)).fetchall())
                bind(connection, leads, owners)
                end_with(connection, self.owner, but=queues)

            await self._write(work, "binding queues")
        self._bound = queues

    async def _claim_now(self, queues: Sequence[str], limit: int) -> Claim:
        now = self._clock.now()
        if not queues or not is_worth_it(self._store, queues, now):
            [(owner, version)] = self._store.read(_STANDING, (self.owner,))
            self._check_lease(owner)
            return Claim([], now, version_of(version))
        # Not the owner's number alone: a row id is used again once the newest row was deleted, and whoever still
        # settles the old message must not meet the new one.
        self._turn += 1
        token = self.owner * _CLAIMS + self._turn % _CLAIMS

        aging = self._aging.turn()

        def work(connection: sqlite3.Connection) -> Claim:
            taker = Taker(connection, owner=self.owner, token=token, max_bytes=self._max_bytes)
            taken = taker.take(queues, limit=limit, first=self._turn, now=now, aging=aging)
            if not taken:
                self._check_lease(connection.execute("SELECT 1 FROM owner WHERE number = ?", (self.owner,)).fetchall())
            return Claim(taken, now, taker.revocations)

        self._claiming = token
        try:
            return await self._write(work, "claiming")
        finally:
            self._claiming = 0

    def _until_due(self, now: float) -> float:
        due = next_due(self._store)
        return float("inf") if due is None else max(0.0, due - now)

    async def _sleep(self, watch: Watch, timeout: float) -> None:
        """Sleep until the bell rings, the file changes or the time is over."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        seen = self._data_version()
        until = loop.time() + timeout
        # The bell is what wakes; looking by itself is for watches that turn out blind (other kernels, odd mounts).
        nap = watch.nap
        timer: asyncio.TimerHandle

        def look() -> None:
            """Look again later, without waking the one who sleeps: an idle node does little else."""
            nonlocal timer
            try:
                over = self._data_version() != seen or loop.time() >= until
            except BrokerUnavailable as exc:
                _end(woken, exc)
                return
            if over:
                _end(woken)
            else:
                timer = loop.call_later(min(until_tick(nap), until - loop.time()), look)

        timer = loop.call_later(min(until_tick(nap), timeout), look)
        if watch.descriptor is not None:
            loop.add_reader(watch.descriptor, _end, woken)
        try:
            await woken
        finally:
            timer.cancel()
            if watch.descriptor is not None:
                loop.remove_reader(watch.descriptor)

    def _data_version(self) -> object:
        return self._store.read("PRAGMA data_version")[0][0]

    # -- settling -----------------------------------------------------------------------------------------------

    def shares_store_with(self, results: object) -> bool:
        return isinstance(results, ResultSink) and getattr(results, "path", None) == self._path

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        if not settlements:
            return []

        now = self._clock.now()
        let_in: list[bool] = []
        published: list[bool] = []

        def work(connection: sqlite3.Connection) -> list[Settlement]:
            accepted, refused = self._end(connection, settlements)
            ended = [(one.frees, one.delivery.message.task_id) for one in accepted if one.frees is not None]
            if ended:
                keys.free(connection, ended)
            records = [record for one in accepted for record in one.results]
            if results is not None and records:
                results.write_within(connection, records)
            following = [message for one in accepted for message in one.publish]
            effects = [one.joins for one in accepted if one.joins is not None]
            if results is not None and effects:
                following += results.join_within(connection, effects)
            if following:
                published.append(True)
                if any(message.route is not None for message in following):
                    following = self._spread(connection, following, now)
                keys.publish_following(connection, following, now)
            left = [(one.delivery.tag, one.room) for one in accepted if one.room is not None]
            if left and rooms.leave(connection, left):
                let_in.append(True)
            return refused

        refused = await self._write(work, "settling")
        if results is not None:
            results.announce()
        if let_in or published:
            self._store.work.ring()
        return refused

    def _spread(self, connection: sqlite3.Connection, messages: Sequence[Message], now: float) -> list[Message]:
        """Return messages for queues in place of those for exchanges; what reaches none becomes a dead letter."""

        def behind(exchange: str) -> list[Binding]:
            stored = read_bindings(connection.execute(BEHIND, (exchange,)).fetchall())
            return list(dict.fromkeys(self._declared.behind(exchange) + stored))

        lost: list[tuple[Message, str]] = []
        found = spread(messages, behind, lost=lost).messages
        if lost:
            connection.executemany(KEEP_LETTER, [(now, reason, *dead_row_of(message)) for message, reason in lost])
        return found

    def _end(
        self, connection: sqlite3.Connection, settlements: Sequence[Settlement]
    ) -> tuple[Sequence[Settlement], list[Settlement]]:
        """Take the messages out of the table; tell the settlements of those that were owned from the others."""
        if len(settlements) > 1:  # together, which is cheaper, unless that turns out to be wrong
            connection.execute("SAVEPOINT together")
            whole = self._delete(connection, settlements) == len(settlements)
            if not whole:
                connection.execute("ROLLBACK TO together")
            # SQLite keeps a copy of each page that changes in a savepoint; of what follows it need not.
            connection.execute("RELEASE together")
            if whole:
                return settlements, []
        accepted: list[Settlement] = []
        refused: list[Settlement] = []
        for one in settlements:
            (accepted if self._delete(connection, [one]) else refused).append(one)
        return accepted, refused

    def _delete(self, connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> int:
        buried = [one for one in settlements if one.dead_reason is not None]
        if buried:
            now = self._clock.now()
            rows = [(now, one.dead_reason, one.delivery.tag, one.delivery.owner) for one in buried]
            connection.executemany(_BURY, rows)
        return connection.executemany(_SETTLE, [(one.delivery.tag, one.delivery.owner) for one in settlements]).rowcount

    # -- giving back --------------------------------------------------------------------------------------------

    async def release(self, releases: Sequence[Release]) -> None:
        if not releases:
            return
        rows = [
            (
                one.eta_at,
                one.cause is ReleaseCause.CRASH,
                one.cause is ReleaseCause.UNKNOWN_TASK,
                keys.column_of(one.delivery.booking),
                one.delivery.tag,
                one.delivery.owner,
            )
            for one in releases
        ]
        await self._write(lambda connection: connection.executemany(_RELEASE, rows), "giving messages back")
        self._store.work.ring()

    async def reconcile(self, held: Collection[int]) -> int:
        owned = self._store.read("SELECT id, owner FROM message WHERE owner BETWEEN ? AND ?", _tokens_of(self.owner))
        # A claim that is just arriving is in the store before its messages are in anybody's hands.
        astray = [(tag, token) for tag, token in owned if tag not in held and token != self._claiming]
        if astray:
            rows = [(None, 0, 0, None, tag, token) for tag, token in astray]
            await self._write(lambda connection: connection.executemany(_RELEASE, rows), "reconciling")
            self._store.work.ring()
        return len(astray)

    def holds(self, delivery: Delivery) -> bool:
        return delivery.owner // _CLAIMS == self.owner

    def note_started(self, delivery: Delivery) -> None:
        if self._file is not None and self.holds(delivery):
            self._file.note(delivery.tag)

    def note_ended(self, delivery: Delivery) -> None:
        if self._file is not None and self.holds(delivery):
            self._file.erase(delivery.tag)

    # -- unique keys and rate limits ----------------------------------------------------------------------------

    async def free(self, runs: Sequence[tuple[str, str]]) -> None:
        await self._write(lambda connection: keys.free(connection, runs), "giving unique keys back")

    async def book(self, requests: Sequence[RateRequest]) -> tuple[list[Booking], float]:
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> list[Booking]:
            self._check_lease(connection.execute("SELECT 1 FROM owner WHERE number = ?", (self.owner,)).fetchall())
            return keys.book_all(connection, requests, now)

        return await self._write(work, "booking starts under rate limits"), now

    async def enter(self, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
        entered = await self._write(lambda connection: rooms.enter(connection, runs), "entering rooms")
        self._store.work.ring()
        return entered

    # -- leases -------------------------------------------------------------------------------------------------

    async def extend(self) -> None:
        sql = "UPDATE owner SET beat = beat + 1 WHERE number = ?"
        self._check_lease(
            await self._write(lambda connection: connection.execute(sql, (self.owner,)).rowcount, "extending")
        )

    async def peers(self) -> list[Incarnation]:
        rows = self._store.read("SELECT incarnation FROM owner WHERE number <> ?", (self.owner,))
        return [msgspec.json.decode(str(described), type=Incarnation) for (described,) in rows]

    async def recover(self) -> int:
        began = self._clock.monotonic()
        rows = self._store.read("SELECT number, beat FROM owner WHERE number <> ?", (self.owner,))
        beats = {int(str(number)): int(str(beat)) for number, beat in rows}
        still = self._watcher.stood_still(beats, asked_at=began, answered_at=self._clock.monotonic())
        released = 0
        for number, beat in beats.items():
            if number in still:
                released += await self._recover_from(number, beat, started_by(self._path, number))
            elif (dead := DeadOwner.take(self._path, number)) is not None:
                recovered = False
                try:
                    released += await self._recover_from(number, None, dead.started())
                    recovered = True
                finally:
                    dead.close(remove=recovered)  # else whoever tries next must still see what it had started
        return released

    async def _recover_from(self, number: int, beat: int | None, started: Collection[int]) -> int:
        """Declare an owner dead and release what it held, unless it has raised its counter meanwhile."""
        asked_at = time.monotonic()

        def work(connection: sqlite3.Connection) -> int:
            if beat is not None and time.monotonic() - asked_at > ANSWER_WITHIN:
                return 0  # while this waited for the lock, so may have the owner
            sql = "DELETE FROM owner WHERE number = ?1 AND (?2 IS NULL OR beat = ?2)"
            if connection.execute(sql, (number, beat)).rowcount == 0:
                return 0
            tokens = _tokens_of(number)
            sql = "UPDATE message SET node_losses = node_losses + 1 WHERE id = ? AND owner BETWEEN ? AND ?"
            connection.executemany(sql, [(tag, *tokens) for tag in started])
            released = connection.execute(_RELEASE_ALL, tokens).rowcount
            end_with(connection, number)
            return released

        released = await self._write(work, "recovering the work of a dead node")
        if released:
            self._store.work.ring()
        return released

    def _check_lease(self, found: object) -> None:
        """Raise unless this owner's row was found."""
        if not found:
            raise LeaseLost(f"node {self._incarnation.node} was declared dead by a peer; its claims belong to others")

    # -- the two ways to write ----------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        """The open file. Asked for anew each time: it is another one when the file was replaced."""
        return Store.at(self._path, self._synchronous)

    async def _write(self, work: Callable[[sqlite3.Connection], T], doing: str) -> T:
        began = time.monotonic()
        try:
            value = await self._write_now(work, doing)
        except BrokerUnavailable:
            self._watcher = Watcher()  # who cannot write cannot say that others stood still
            raise
        if time.monotonic() - began > ANSWER_WITHIN:
            self._watcher = Watcher()
        return value

    async def _write_now(self, work: Callable[[sqlite3.Connection], T], doing: str) -> T:
        if self._thread is None:
            raise BrokerUnavailable(f"this consumer of {self._path} is not open")
        store = self._store
        if store.synchronous != "FULL":  # FULL waits for the disk: never in the loop
            done = store.write_at_once(work, doing=doing)
            if done is not None:
                return done[0]
        deadline_at = time.monotonic() + _WRITE_TIMEOUT
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: store.write(work, deadline_at=deadline_at, doing=doing)
        )


def _tokens_of(owner: int) -> tuple[int, int]:
    """Return the first and the last fencing token of an owner."""
    return owner * _CLAIMS, owner * _CLAIMS + _CLAIMS - 1


def _end(sleep: asyncio.Future[None], exc: Exception | None = None) -> None:
    if sleep.done():
        return
    if exc is None:
        sleep.set_result(None)
    else:
        sleep.set_exception(exc)
