"""Worlds in which a process can die between any two writes, and whose stores can be looked into."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers.memory import store as memory
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.records import split_member, split_record
from celeriac.brokers.redis.session import Session
from celeriac.brokers.redis.telling import Telling
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import BrokerWorld
from celeriac.wire.envelope import read_envelope
from tests.unit.brokers.memory_world import MemoryWorld
from tests.unit.brokers.model import Seen
from tests.unit.brokers.redis_world import RedisWorld
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


class CrashingRedisWorld(CrashingWorld, RedisWorld):
    """A process may be gone before a command is sent, and after it was executed; never within one.

    The server's time is taken to be the clock's, which stands still between two steps of a test.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        with self.client() as client:
            client.flushdb()
        self._patches = pytest.MonkeyPatch()
        self._patches.setattr(AsyncLink, "run", self._afused(AsyncLink.run))
        self._patches.setattr(AsyncLink, "call", self._afused(AsyncLink.call))
        self._patches.setattr(Session, "run", self._fused(Session.run))
        self._patches.setattr(Telling, "soon", lambda *_: None)  # by itself, amid other steps

    def _afused(self, method):
        async def fused(*args, **kwargs):
            self.fuse.step()
            answer = await method(*args, **kwargs)
            self.fuse.step()
            return answer

        return fused

    def _fused(self, method):
        def fused(*args, **kwargs):
            self.fuse.step()
            answer = method(*args, **kwargs)
            self.fuse.step()
            return answer

        return fused

    def lead(self) -> float:
        return self.clock.now() - time.time()

    def rows(self) -> list[Seen]:
        keys, now = Keys(), self.clock.now()
        with self.client() as client:
            counts = client.hgetall(keys.counts)
            waiting = [
                (0, 0.0, keys.queue_of(name), raw) for name in self._lists(client) for raw in client.lrange(name, 0, -1)
            ]
            delayed = [
                (0, max(0.0, due_at - now), keys.queue_of(name), raw)
                for member, due_at in client.zrange(keys.delayed, 0, -1, withscores=True)
                for name, raw in [split_member(member)]
            ]
            held = [
                (int(key.rpartition(b":")[2]), 0.0, keys.queue_of(name), raw)
                for key in client.keys("celeriac:held:*")
                for record in client.hvals(key)
                for name, raw in [split_record(record)]
            ]
        return [
            Seen(
                token=read_envelope(raw, queue=queue).body.decode(),
                queue=queue,
                owner=owner,
                due_in=due_in,
                counters=self._counters(counts, raw),
            )
            for owner, due_in, queue, raw in waiting + delayed + held
        ]

    def _lists(self, client) -> list[bytes]:
        return [name for name in client.keys("*") if client.type(name) == b"list"]

    def _counters(self, counts: dict[bytes, bytes], raw: bytes) -> tuple[int, int, int]:
        name = f"{len(raw)}:{hashlib.sha1(raw[-1024:]).hexdigest()}".encode()
        crashes, node_losses, releases, *_ = map(int, counts.get(name, b"0,0,0,0,0").split(b","))
        return crashes, node_losses, releases

    def end(self) -> None:
        super().end()
        self._patches.undo()
