"""Results in a SQLite file: the broker's own one, or another."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celeriac.backends.base import RESULT_EXPIRES, ResultBackend, StoredResult
from celeriac.backends.joins import CountedMember, KeptJoin, apply_effects
from celeriac.backends.lifetimes import Lifetimes
from celeriac.backends.loop_waits import patiently, waits_of
from celeriac.backends.sqlite_joins import KEPT, MEMBERS, SqliteJoins, delete_joins, kept_of, member_of
from celeriac.brokers.base import ResultMeta, ResultSink
from celeriac.brokers.joins import JoinEffects
from celeriac.brokers.sqlite.bell import BLIND_NAP, Watch
from celeriac.brokers.sqlite.store import READ_TIMEOUT, Store
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.message import Message
from celeriac.states import READY_STATES

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_EXPIRE_CHUNK: Final = 1_000
_CLEAN_AFTER: Final = 10_000
_READ_CHUNK: Final = 500
_NAPS: Final = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02)
_NET: Final = 0.1
"""Seconds after which a waiter looks although no bell rang, for watches that turn out blind."""

_SPIN: Final = 0.002
"""Seconds for which a waiter does not sleep, when the wait before was over that soon."""

_FINAL: Final = ", ".join(f"'{state}'" for state in sorted(READY_STATES))
_IF_FINAL: Final = f" AND state IN ({_FINAL})"

# 4.1 µs, with the index that expiry needs; INSERT OR REPLACE … WHERE NOT EXISTS took 5.7 without one. What has expired
# stands in nobody's way, whenever it is deleted.
_UPSERT: Final = """
INSERT INTO result (task_id, state, retries, expires_at, record) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (task_id) DO UPDATE SET
    state = excluded.state, retries = excluded.retries, expires_at = excluded.expires_at, record = excluded.record
WHERE result.expires_at <= ?6 OR
"""
_STORE: Final = f"{_UPSERT} result.state != 'SUCCESS'"
_STORE_ONCE: Final = f"""{_UPSERT} result.state NOT IN ({_FINAL})
OR (result.state != 'SUCCESS' AND result.retries < excluded.retries)
"""
_NOTE: Final = f"""{_UPSERT} (result.state != 'SUCCESS' AND result.retries < excluded.retries)
OR (result.retries = excluded.retries AND result.state NOT IN ({_FINAL}, 'RETRY')
    AND (result.state IN ('STARTED', 'RECEIVED') OR excluded.state NOT IN ('STARTED', 'RECEIVED')))
"""
_EXPIRE: Final = f"""
DELETE FROM result WHERE id IN (SELECT id FROM result WHERE expires_at <= ? ORDER BY expires_at LIMIT {_EXPIRE_CHUNK})
"""


class SqliteBackend(ResultBackend, ResultSink):
    """Keep results in one SQLite file of this machine.

    Args:
        path: the file; when it is the broker's, a worker settles and records in one transaction.
        synchronous: as for the broker.
        expires: seconds for which a record is kept; None or 0 keeps it for ever.
        failure_expires: the same for FAILURE; None: as the others, 0 keeps it for ever.
        clock: what expiry goes by; tests pass their own.
    """

    counts_members: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "NORMAL",
        expires: float | None = RESULT_EXPIRES,
        failure_expires: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.path = Path(os.path.realpath(path))
        self._synchronous = synchronous
        self._lifetimes = Lifetimes.of(expires, failure_expires)
        self._clock = clock
        self._brisk = False
        self._stored = 0

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def _store(self) -> Store:
        return Store.at(self.path, self._synchronous)

    def close(self) -> None:
        Store.close_at(self.path, self._synchronous)

    # -- writing ------------------------------------------------------------------------------------------------

    def store(self, results: Sequence[ResultMeta], *, once: bool = False) -> None:
        sql, rows = _STORE_ONCE if once else _STORE, self._rows(results)
        self._write(sql, rows, "storing results")
        self.announce()
        self._stored += len(rows)
        if self._stored >= _CLEAN_AFTER:
            self._stored = 0
            self.expire()

    def note(self, results: Sequence[ResultMeta]) -> None:
        self._write(_NOTE, self._rows(results), "storing how runs are getting on")
        if any(one.state in READY_STATES for one in results):
            self.announce()

    def write_within(self, transaction: object, results: Sequence[ResultMeta]) -> None:
        assert isinstance(transaction, sqlite3.Connection)
        transaction.executemany(_STORE, self._rows(results))

    def announce(self) -> None:
        self._store().done.ring()

    def _rows(self, results: Sequence[ResultMeta]) -> list[tuple[object, ...]]:
        now = self._clock.now()
        expires_at = self._lifetimes.ends(now)
        return [(one.task_id, one.state, one.retries, expires_at(one.state), one.record, now) for one in results]

    def forget(self, task_ids: Collection[str]) -> None:
        self._write("DELETE FROM result WHERE task_id = ?", [(task_id,) for task_id in task_ids], "forgetting results")

    def _write(self, sql: str, rows: Sequence[tuple[object, ...]], doing: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return connection.executemany(sql, rows).rowcount

        return self._store().write(work, deadline_at=time.monotonic() + READ_TIMEOUT, doing=doing)

    def expire(self) -> int:
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(_EXPIRE, (now,)).rowcount + delete_joins(connection, now)

        return self._store().write(work, deadline_at=time.monotonic() + READ_TIMEOUT, doing="expiring results")

    # -- joins --------------------------------------------------------------------------------------------------

    def join(self, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> list[Message]:
            return apply_effects(effects, SqliteJoins(connection), now=now, repeats=True)

        deadline_at = time.monotonic() + READ_TIMEOUT
        return self._store().write(work, deadline_at=deadline_at, doing="counting members of chords")

    def join_within(self, transaction: object, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        assert isinstance(transaction, sqlite3.Connection)
        return apply_effects(effects, SqliteJoins(transaction), now=self._clock.now())

    def kept_join(self, group_id: str) -> KeptJoin | None:
        rows = self._store().read(KEPT, (group_id,))
        kept = kept_of(rows[0]) if rows else None
        return None if kept is None or kept.expires_at <= self._clock.now() else kept

    def members(self, group_id: str) -> Iterator[Sequence[CountedMember]]:
        behind: tuple[object, ...] = (-1, "")
        while rows := self._store().read(MEMBERS, (group_id, *behind, _READ_CHUNK)):
            yield [member_of(row) for row in rows]
            behind = rows[-1][:2]

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> StoredResult | None:
        return self.get_many([task_id]).get(task_id)

    def get_many(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return self._select(task_ids, "")

    def _select(self, task_ids: Collection[str], condition: str) -> dict[str, StoredResult]:
        return _found(self._store().read(*query) for query in self._queries(task_ids, condition))

    def _select_at_once(self, task_ids: Collection[str], condition: str) -> dict[str, StoredResult] | None:
        """Read likewise if no other thread works with the connection; else return None."""
        answers = [self._store().read_at_once(*query) for query in self._queries(task_ids, condition)]
        read = [rows for rows in answers if rows is not None]
        return _found(read) if len(read) == len(answers) else None

    def _queries(self, task_ids: Collection[str], condition: str) -> Iterator[tuple[str, tuple[object, ...]]]:
        ids = list(task_ids)
        for start in range(0, len(ids), _READ_CHUNK):
            chunk = ids[start : start + _READ_CHUNK]
            marks = ", ".join("?" * len(chunk))
            sql = (
                f"SELECT task_id, state, record, retries FROM result WHERE task_id IN ({marks}){condition}"
                " AND (expires_at IS NULL OR expires_at > ?)"  # gone at its time, whenever somebody deletes it
            )
            yield sql, (*chunk, self._clock.now())

    def exists(self, task_id: str) -> bool:
        sql = "SELECT 1 FROM result WHERE task_id = ? AND (expires_at IS NULL OR expires_at > ?)"
        return bool(self._store().read(sql, (task_id, self._clock.now())))

    async def get_async(self, task_id: str) -> StoredResult | None:
        # In the loop's own thread: a row takes 20 µs, the way to another thread and back 100.
        return (await patiently(lambda: self._select_at_once([task_id], ""))).get(task_id)

    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        waits = waits_of((self.path, self._synchronous), self._final_at_once, lambda: _LoopBell(self._store))
        return await waits.wait(task_ids, timeout=timeout)

    def _final_at_once(self, task_ids: Collection[str]) -> dict[str, StoredResult] | None:
        return self._select_at_once(task_ids, _IF_FINAL)

    def _final(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return self._select(task_ids, _IF_FINAL)

    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        found = self._final(task_ids)
        if found or timeout == 0:
            return found
        until = float("inf") if timeout is None else time.monotonic() + timeout
        store = self._store()  # held on to: its bell must not be closed meanwhile
        watch = store.done.watch()
        began = time.monotonic()
        try:
            rounds = 0
            while True:
                watch.drain()
                found = self._final(task_ids)
                left = until - time.monotonic()
                if found or left <= 0:
                    self._brisk = time.monotonic() - began < _SPIN
                    return found
                if rounds == 0 and self._brisk and watch.spin(min(left, _SPIN)):
                    rounds = 1
                    continue
                # Somebody else's result rings too: look again ever later, so that many waiters do not hinder the work.
                time.sleep(min(left, _NAPS[min(rounds // 4, len(_NAPS) - 1)]))
                watch.sleep(min(left, _NET))
                rounds += 1
        finally:
            store.done.rest(watch)


def _found(answers: Iterable[Sequence[tuple[Any, ...]]]) -> dict[str, StoredResult]:
    return {
        task_id: StoredResult(task_id=task_id, state=state, record=record, retries=retries)
        for rows in answers
        for task_id, state, record, retries in rows
    }


class _LoopBell:
    """Watch a store's bell of results from an event loop: one inotify descriptor, and none while nobody waits."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self.net = _NET
        self._find_store = store
        self._store: Store | None = None
        self._watch: Watch | None = None
        self._loop: AbstractEventLoop | None = None

    def start(self, loop: AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._store = self._find_store()  # held on to: its bell must not be closed meanwhile
        self._loop = loop
        watch = self._watch = self._store.done.watch()
        self.net = BLIND_NAP if watch.descriptor is None else _NET

        def hear() -> None:
            watch.drain()
            ring()

        watch.drain()
        if watch.descriptor is not None:
            loop.add_reader(watch.descriptor, hear)

    def stop(self) -> None:
        if self._store is None or self._watch is None or self._loop is None:
            return
        if self._watch.descriptor is not None:
            self._loop.remove_reader(self._watch.descriptor)
        self._store.done.rest(self._watch)
        self._store = self._watch = self._loop = None
