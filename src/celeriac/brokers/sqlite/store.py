"""One open database file of this process: its connection, its write lock and its transactions.

Broker and result backend of one file share one `Store` in each process, and so one transaction.

Writers of all processes take turns by a `flock` on a side file; SQLite's own lock is only the net below it (for
`sqlite3` shells and the like). SQLite's sleeps between tries let a writer wait for over a second where `flock` has 60
to 280 ms at worst, and let the log grow.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from celeriac.brokers.sqlite import schema
from celeriac.brokers.sqlite.bell import Bell
from celeriac.brokers.sqlite.group import GroupCommit
from celeriac.brokers.sqlite.place import open_beside, prepare, translate
from celeriac.exceptions import BrokerUnavailable
from celeriac.shelter import sheltered

T = TypeVar("T")

logger: Final = logging.getLogger("celeriac.sqlite")

READ_TIMEOUT: Final = 3.0
"""Seconds that opening a file, or any call without a deadline of its own, may take."""

_TRY_LOCK: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_NAPS: Final = (0.0001, 0.0002, 0.0005, 0.001)
_WAL_LIMIT: Final = 64 * 1024 * 1024
# Copies of pages for savepoints stay in memory: on disk each transaction of 64 KiB makes, fills and removes a file.
_PRAGMAS: Final = (
    "secure_delete = OFF",
    f"journal_size_limit = {_WAL_LIMIT}",
    "busy_timeout = 100",
    "temp_store = MEMORY",
)
_STAT_EVERY: Final = 1.0
_VACUUM_PAGES: Final = 500
_VACUUM_ABOVE: Final = 4_000  # free pages; 16 MB are kept for the next burst

_stores: dict[tuple[str, str], Store] = {}
_registry = threading.RLock()
_of_parents: list[Store] = []  # a connection that crossed a fork is never closed, only forgotten


def _forget_all() -> None:
    global _registry
    for store in _stores.values():
        store.let_go_of_lock()
    _of_parents.extend(_stores.values())
    _stores.clear()
    _registry = threading.RLock()


os.register_at_fork(after_in_child=_forget_all)


class Store:
    """Run transactions on one file. Safe to use from any thread; `at` gives each process its own."""

    def __init__(self, path: Path, synchronous: str, deadline_at: float) -> None:
        self._pid = os.getpid()
        self._side_files: list[Callable[[], None]] = []
        self.path = path
        self.synchronous = synchronous
        self.group = GroupCommit()
        self._turn = threading.Lock()  # held by the thread that writes or waits for its turn to
        self._use = threading.Lock()  # held while the connection works, never while somebody waits
        prepare(path)
        self._lock = open_beside(path, "-lock")
        self._side_files.append(partial(os.close, self._lock))
        self.work = Bell(path, "-wake")
        self._side_files.append(self.work.close)
        self.done = Bell(path, "-done")
        self._side_files.append(self.done.close)
        self._inode = os.stat(path).st_ino
        self._stat_at = time.monotonic()
        self.connection = self._connect(deadline_at)

    @classmethod
    def at(cls, path: Path, synchronous: str = "NORMAL", *, deadline_at: float | None = None) -> Store:
        """Return this process's store of a file; open it the first time, by a monotonic instant if one is given.

        Raises:
            BrokerUnavailable: the file cannot be opened; the text names the file and the cure.
            ImproperlyConfigured: it cannot be a celeriac file at all.
        """
        key = (str(path), synchronous)
        store = _stores.get(key)
        if store is not None and (time.monotonic() - store._stat_at < _STAT_EVERY or store.is_current()):
            return store
        with _registry:
            store = _stores.get(key)
            if store is None or not store.is_current():
                until = time.monotonic() + READ_TIMEOUT if deadline_at is None else deadline_at
                store = _stores[key] = cls(path, synchronous, until)
            return store

    def is_current(self) -> bool:
        """Say whether the path still names the file that is open here; looks once a second."""
        now = time.monotonic()
        if now - self._stat_at < _STAT_EVERY:
            return True
        try:
            current = os.stat(self.path).st_ino == self._inode
        except OSError:
            return False
        if current:  # else `at` asks again under its lock, and must not be told to wait a second
            self._stat_at = now
        return current

    @staticmethod
    def ensure(connection: sqlite3.Connection, path: Path) -> None:
        """Make the tables in an empty file. The file of the bus has others."""
        schema.ensure(connection, path)

    def _connect(self, deadline_at: float) -> sqlite3.Connection:
        """Open the file, make its tables when it is empty, and set it up."""
        with sheltered:
            self._acquire(deadline_at, "opening it")
            try:
                connection = sqlite3.connect(
                    self.path,
                    timeout=max(0.0, deadline_at - time.monotonic()),
                    isolation_level=None,
                    check_same_thread=False,
                    cached_statements=256,
                )
                # Anybody can write anything into a table: text that is none must not stop those who only pass by.
                connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
                try:
                    self.ensure(connection, self.path)
                    for pragma in ("journal_mode = WAL", f"synchronous = {self.synchronous}", *_PRAGMAS):
                        connection.execute(f"PRAGMA {pragma}").fetchall()
                except BaseException:
                    connection.close()
                    raise
            except sqlite3.Error as exc:
                raise translate(exc, self.path, "opening it") from exc
            finally:
                self._release()
            return connection

    @classmethod
    def close_at(cls, path: Path, synchronous: str = "NORMAL") -> None:
        """Let go of this process's store of a file; `at` opens it again.

        It is closed when the last thread that works with it has done so.
        """
        with _registry:
            _stores.pop((str(path), synchronous), None)

    def let_go_of_lock(self) -> None:
        """In a fork: close the copy of the writers' lock, which would keep it locked if the parent died holding it."""
        os.close(self._lock)

    def __del__(self) -> None:
        if self._pid != os.getpid():
            return  # a connection that crossed a fork must not be closed there
        if hasattr(self, "connection"):  # else it could not be opened
            self.connection.close()
        for close in self._side_files:
            close()

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query (no cursor outlives its call: it would hold back checkpoints)."""
        with self._use:
            try:
                return self.connection.execute(sql, parameters).fetchall()
            except sqlite3.Error as exc:
                raise translate(exc, self.path, "reading") from exc

    def read_at_once(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]] | None:
        """Return all rows of a query, or None when another thread works with the connection."""
        if not self._use.acquire(blocking=False):
            return None
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as exc:
            raise translate(exc, self.path, "reading") from exc
        finally:
            self._use.release()

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, work: Callable[[sqlite3.Connection], T], *, deadline_at: float, doing: str) -> T:
        """Run `work` in one transaction and commit it. It is rolled back when `work` raises.

        Args:
            work: statements to run; must fetch every cursor to the end.
            deadline_at: monotonic instant until which locks are waited for.
            doing: for the error, as in "while publishing".

        Raises:
            BrokerUnavailable: the deadline passed, or the file cannot be written. Nothing has changed then.
        """
        with sheltered:
            self._acquire(deadline_at, doing)
            try:
                return self._transact(work, deadline_at)
            except sqlite3.Error as exc:
                raise translate(exc, self.path, doing) from exc
            finally:
                self._release()

    def write_at_once(self, work: Callable[[sqlite3.Connection], T], *, doing: str) -> tuple[T] | None:
        """Run `work` as `write` does if no lock has to be waited for; else return None with nothing done."""
        with sheltered:
            if not self._turn.acquire(blocking=False):
                return None
            if not self._try_file_lock():
                self._turn.release()
                return None
            self._use.acquire()
            try:
                return (self._transact(work, time.monotonic()),)
            except sqlite3.Error as exc:
                if _is_busy(exc):
                    return None
                raise translate(exc, self.path, doing) from exc
            finally:
                self._release()

    def execute(self, sql: str, row: tuple[object, ...], *, deadline_at: float, doing: str) -> None:
        """Run one statement that is a transaction by itself: 26 instead of 36 µs for an insert.

        Raises as `write` does.
        """
        with sheltered:
            self._acquire(deadline_at, doing)
            try:
                self._until(deadline_at, sql, row)
            except sqlite3.Error as exc:
                raise translate(exc, self.path, doing) from exc
            finally:
                self._release()

    def execute_at_once(self, sql: str, row: tuple[object, ...], *, doing: str) -> bool:
        """Run a statement as `execute` does if no lock has to be waited for; else return False with nothing done.

        This is the way of nearly every call of a task, so it is written out: 1.3 µs less than through the other two.
        """
        with sheltered:
            if not self._turn.acquire(False):
                return False
            try:
                fcntl.flock(self._lock, _TRY_LOCK)
            except BlockingIOError:
                self._turn.release()
                return False
            self._use.acquire()
            try:
                self.connection.execute(sql, row)
            except sqlite3.Error as exc:
                if _is_busy(exc):
                    return False
                raise translate(exc, self.path, doing) from exc
            finally:
                self._release()
            return True

    def _acquire(self, deadline_at: float, doing: str) -> None:
        left = min(max(0.0, deadline_at - time.monotonic()), threading.TIMEOUT_MAX)
        if not self._turn.acquire(timeout=left):
            raise self._too_late(doing)
        try:
            tries = 0
            while not self._try_file_lock():
                if time.monotonic() >= deadline_at:
                    raise self._too_late(doing)
                time.sleep(_NAPS[min(tries, len(_NAPS) - 1)])
                tries += 1
        except BaseException:  # Ctrl-C during a nap too
            self._turn.release()
            raise
        self._use.acquire()

    def _release(self) -> None:
        self._use.release()
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._turn.release()

    def _try_file_lock(self) -> bool:
        try:
            fcntl.flock(self._lock, _TRY_LOCK)
        except BlockingIOError:
            return False
        return True

    def _transact(self, work: Callable[[sqlite3.Connection], T], deadline_at: float) -> T:
        connection = self.connection
        # IMMEDIATE: a transaction that reads first and writes later fails at once when somebody wrote in between.
        self._until(deadline_at, "BEGIN IMMEDIATE")
        try:
            value = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return value

    def _until(self, deadline_at: float, sql: str, row: tuple[object, ...] = ()) -> None:
        """Run a statement again and again while a program that knows nothing of our lock holds SQLite's own."""
        while True:
            try:
                self.connection.execute(sql, row)
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc) or time.monotonic() >= deadline_at:
                    raise
            else:
                return

    def _too_late(self, doing: str) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"{self.path} was locked by other writers until the deadline while {doing}; "
            f"a stopped process may hold {self.path}-lock (fuser shows which), or the machine is overloaded"
        )

    # -- upkeep -------------------------------------------------------------------------------------------------

    def tidy(self, *, deadline_at: float) -> int:
        """Give disk space back: cut a log that has grown, free pages after a burst. Returns the pages freed."""
        with sheltered:
            self._acquire(deadline_at, "tidying up")
            try:
                if self._wal_bytes() > _WAL_LIMIT // 2:
                    self._cut_log()
                before = self._free_pages()
                if before <= _VACUUM_ABOVE:
                    return 0
                # executescript: through execute() this pragma frees a single page.
                self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                return before - self._free_pages()
            except sqlite3.Error as exc:
                raise translate(exc, self.path, "tidying up") from exc
            finally:
                self._release()

    def _cut_log(self) -> None:
        # Passive first: TRUNCATE alone holds everybody up for all of the copying.
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        if busy and self._wal_bytes() > _WAL_LIMIT:
            logger.warning(
                "%s-wal has grown to %d MiB, because a program keeps a read transaction open on the database",
                self.path,
                self._wal_bytes() >> 20,
            )

    def _free_pages(self) -> int:
        return int(self.connection.execute("PRAGMA freelist_count").fetchall()[0][0])

    def _wal_bytes(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except OSError:
            return 0


def _is_busy(exc: sqlite3.Error) -> bool:
    """Say whether a program that knows nothing of our lock holds SQLite's own."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
