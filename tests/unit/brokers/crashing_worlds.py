"""Worlds in which a process can die between any two writes, and whose stores can be looked into."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celeriac.brokers.memory import store as memory
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import BrokerWorld
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.model import Seen
from tests.unit.brokers.sqlite_world import SqliteWorld


class ProcessDied(Exception):
    """Stand for the end of a process: nothing that it would have done next took place."""


class Fuse:
    """Let the process die after so many steps; `None` burns for ever."""

    def __init__(self) -> None:
        self.steps_left: int | None = None

    def step(self) -> None:
        if self.steps_left is None:
            return
        if self.steps_left == 0:
            self.steps_left = None
            raise ProcessDied
        self.steps_left -= 1

    @contextmanager
    def lit(self, steps: int | None) -> Iterator[None]:
        self.steps_left = steps
        try:
            yield
        finally:
            self.steps_left = None


class CrashingWorld(BrokerWorld):
    """A world whose operations can be made to die on the way."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.fuse = Fuse()

    clock: ManualClock

    def now(self) -> float:
        return self.clock.now()

    def crash_after(self, steps: int | None):
        """Make the operation in the block raise `ProcessDied` in place of its step with that number, from 0.

        A step is anything after which a real process could be gone: each write, the commit, and what comes after it.
        """
        return self.fuse.lit(steps)

    @abstractmethod
    def rows(self) -> list[Seen]:
        """Return every message that waits or is claimed, as it lies in the store."""


class FusedTransaction(memory.Transaction):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def before_write(self, undo):
        self._fuse.step()
        super().before_write(undo)

    def before_commit(self):
        self._fuse.step()


class FusedStore(memory.Store):
    def __init__(self, name: str, fuse: Fuse) -> None:
        super().__init__(name)
        self._fuse = fuse

    def begin(self) -> memory.Transaction:
        return FusedTransaction(self._fuse)

    def wake(self) -> None:
        self._fuse.step()
        super().wake()


class CrashingMemoryWorld(CrashingWorld, MemoryWorld):
    def __init__(self) -> None:
        super().__init__()
        self.store = FusedStore(self.name, self.fuse)
        memory._stores[self.name] = self.store

    def rows(self) -> list[Seen]:
        now = self.clock.now()
        return [
            Seen(
                token=row.message.body.decode(),
                queue=row.message.queue,
                owner=memory.owner_of(row.token),
                due_in=max(0.0, (row.due_at or 0.0) - now) if row.token == memory.NOBODY else 0.0,
                counters=(row.crashes, row.node_losses, row.releases),
            )
            for row in self.store.rows.values()
        ]


class FusedConnection(sqlite3.Connection):
    """A SQLite connection that dies before a statement, between two rows of `executemany`, or after a commit."""

    fuse = Fuse()

    def execute(self, sql, *parameters):
        if sql == "ROLLBACK":  # what SQLite does by itself when a process is gone
            return super().execute(sql)
        self.fuse.step()
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT":
            self.fuse.step()
        return cursor

    def executemany(self, sql, rows):
        return Counted(sum(self.execute(sql, row).rowcount for row in rows))


class Counted:
    def __init__(self, rowcount: int) -> None:
        self.rowcount = rowcount


class CrashingSqliteWorld(CrashingWorld, SqliteWorld):
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="celeriac-machine-"))
        super().__init__(self.folder)
        self.store = self.make_broker().store()
        self.store.connection.close()
        self.store.connection = self.connect()

    def connect(self) -> FusedConnection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, factory=FusedConnection)
        connection.fuse = self.fuse
        return connection

    def rows(self) -> list[Seen]:
        now = self.clock.now()
        found: list[tuple[Any, ...]] = self.store.read(
            "SELECT body, queue, owner, eta, crashes, node_losses, releases FROM message"
        )
        return [
            Seen(
                token=body.decode(),
                queue=queue,
                owner=(token or 0) >> 32,
                due_in=max(0.0, (eta or 0.0) - now) if token is None else 0.0,
                counters=(crashes, node_losses, releases),
            )
            for body, queue, token, eta, crashes, node_losses, releases in found
        ]

    def end(self) -> None:
        super().end()
        shutil.rmtree(self.folder)
