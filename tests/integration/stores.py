"""What a broker holds, seen from outside: read by plain SQL and plain Redis commands, never through celeriac.

Tests ask all stores the same questions: what waits, who holds what, why something died, what was recorded.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import amqp
import redis

Accounts = tuple[bool, float | None, int, int, int]

UNCOUNTED: Final[Accounts] = (False, None, 0, 0, 0)
"""The accounts of a message that waits as if it had just been published."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A message that is not done with."""

    task_id: str
    queue: str
    headers: Mapping[str, Any]
    held: bool
    eta: float | None
    crashes: int = 0
    node_losses: int = 0
    releases: int = 0

    @property
    def accounts(self) -> Accounts:
        return self.held, self.eta, self.crashes, self.node_losses, self.releases


class Store(ABC):
    """Look into one broker and its results."""

    source: str
    """The arguments by which an app names it: ``broker="..."``."""

    urls: dict[str, Any]
    """The same as keywords, for an app in another folder."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Say whether nothing waits and nothing is held. Cheap, whatever is kept."""

    @abstractmethod
    def kept(self) -> list[Kept]:
        """Return all messages that are not done with, as of one instant."""

    @abstractmethod
    def delayed(self) -> int:
        """Count the messages that wait for their time. Cheap, whatever is kept."""

    @abstractmethod
    def owners(self) -> list[dict[str, Any]]:
        """Return the incarnations that hold leases."""

    @abstractmethod
    def beats(self) -> int:
        """Return the sum of the counters that owners raise."""

    @abstractmethod
    def held_by(self, pid: int) -> int:
        """Count what the node whose supervisor has this pid has claimed and not settled."""

    @abstractmethod
    def wait_noted(self, pid: int, count: int) -> None:
        """Wait until it is known that a node has handed so many messages to children."""

    @abstractmethod
    def dead_reasons(self) -> list[str]:
        """Return why messages are dead letters, the oldest first."""

    @abstractmethod
    def records(self) -> dict[str, bytes]:
        """Return all results as they are written, by task id."""

    @abstractmethod
    def record(self, task_id: str) -> bytes | None:
        """Return one result as it is written."""

    @abstractmethod
    def put_record(self, task_id: str, record: bytes) -> None:
        """Write over a result, as anybody can."""

    @abstractmethod
    def hand_over(self, queue: str) -> None:
        """Put what waits in `queue` into the hands of the newest owner, who knows nothing of it."""

    @abstractmethod
    def add_ghost(self) -> None:
        """Register an owner like the newest one, but one who has never lived."""

    @abstractmethod
    def assert_clean(self) -> None:
        """Nothing waits, nobody holds anything, no owner is left, and nothing else is either."""

    def results(self) -> dict[str, dict[str, Any]]:
        """Return all results, which are JSON, by task id."""
        return {task_id: json.loads(record) for task_id, record in self.records().items()}


class SqliteStore(Store):
    """Look into a database file, ``work.db`` of a project."""

    source = 'broker="sqlite:///work.db"'  # relative: its nodes run in the folder of the project

    def __init__(self, path: Path) -> None:
        self.path = path
        self.urls = {"broker": f"sqlite:///{path}"}

    def select(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def change(self, sql: str, *parameters: object) -> None:
        """Write into the file, as anybody can."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.execute(sql, parameters)

    def is_empty(self) -> bool:
        return not self._has_tables() or not self.select("SELECT 1 FROM message LIMIT 1")

    def kept(self) -> list[Kept]:
        sql = "SELECT task_id, queue, headers, owner, eta, crashes, node_losses, releases FROM message ORDER BY id"
        return [
            Kept(
                task_id=task_id,
                queue=queue,
                headers=json.loads(headers),
                held=owner is not None,
                eta=eta,
                crashes=crashes,
                node_losses=node_losses,
                releases=releases,
            )
            for task_id, queue, headers, owner, eta, crashes, node_losses, releases in self.select(sql)
        ]

    def delayed(self) -> int:
        return int(self.select("SELECT count(*) FROM message WHERE eta IS NOT NULL AND owner IS NULL")[0][0])

    def owners(self) -> list[dict[str, Any]]:
        if not self._has_tables():
            return []
        return [json.loads(text) for (text,) in self.select("SELECT incarnation FROM owner")]

    def beats(self) -> int:
        return int(self.select("SELECT coalesce(sum(beat), 0) FROM owner")[0][0])

    def held_by(self, pid: int) -> int:
        sql = (
            "SELECT count(*) FROM message JOIN owner ON message.owner >> 32 = owner.number"
            " WHERE json_extract(incarnation, '$.pid') = ?"
        )
        return int(self.select(sql, pid)[0][0])

    def wait_noted(self, pid: int, count: int) -> None:
        """Do nothing: it is known at once."""

    def dead_reasons(self) -> list[str]:
        return [reason for (reason,) in self.select("SELECT reason FROM dead_letter ORDER BY number")]

    def records(self) -> dict[str, bytes]:
        return dict(self.select("SELECT task_id, record FROM result"))

    def record(self, task_id: str) -> bytes | None:
        found = self.select("SELECT record FROM result WHERE task_id = ?", task_id)
        return found[0][0] if found else None

    def put_record(self, task_id: str, record: bytes) -> None:
        self.change("UPDATE result SET record = ? WHERE task_id = ?", record, task_id)

    def _has_tables(self) -> bool:
        return self.path.exists() and bool(self.select("SELECT 1 FROM sqlite_master LIMIT 1"))

    def hand_over(self, queue: str) -> None:
        self.change(
            "UPDATE message SET queue = 'celery', owner = ((SELECT max(number) FROM owner) << 32) + 1 WHERE queue = ?",
            queue,
        )

    def add_ghost(self) -> None:
        self.change("INSERT INTO owner (incarnation) SELECT incarnation FROM owner ORDER BY number DESC LIMIT 1")

    def assert_clean(self) -> None:
        assert self.select("SELECT id, queue, owner, eta FROM message") == []
        assert self.select("SELECT number, incarnation FROM owner") == []
        assert list(Path(f"{self.path}-owners").iterdir()) == []
        assert self.select("PRAGMA integrity_check") == [("ok",)]


class RedisStore(Store):
    """Look into a database of a Redis server. A node finds it elsewhere by ``BROKER``, ``BACKEND`` in its environment.

    Args:
        url: of the broker, with the number of the database.
        results: URL of the results; without one they are beside the messages.
        reach: URLs by which nodes and the project's app come to both, should these lead over something in between.
    """

    def __init__(self, url: str, *, results: str | None = None, reach: Sequence[str] = ()) -> None:
        self.client: Any = redis.Redis.from_url(url)  # Any: its types allow text, which it never answers here
        self._results: Any = redis.Redis.from_url(results or url)
        self.urls = dict(zip(("broker", "backend"), reach or (url, results or url), strict=True))
        self.source = ", ".join(
            f'{name}=os.environ.get("{name.upper()}", "{place}")' for name, place in self.urls.items()
        )

    @classmethod
    def on(cls, server: str) -> RedisStore:
        """Take a database of a server that this process has not used for the longest time, and empty it."""
        store = cls(f"{server}/{next(_DATABASES)}")
        store.client.flushdb()
        return store

    def close(self) -> None:
        self.client.close()
        self._results.close()

    def is_empty(self) -> bool:
        return not self.client.eval(_COUNT, 0)

    def kept(self) -> list[Kept]:
        waiting, held, later, counts = self.client.eval(_LOOK, 0)
        accounts = {field: value.split(b",")[:3] for field, value in zip(counts[::2], counts[1::2], strict=True)}
        found: list[tuple[bytes, bytes, bool, float | None]]
        found = [(key, envelope, False, None) for key, envelope in waiting]
        found += [(*opened_record(record), True, None) for record in held]
        for member, due_at in later:
            found.append((*opened_record(member.partition(b":")[2]), False, float(due_at)))
        return [_kept(key, envelope, held, eta, accounts) for key, envelope, held, eta in found]

    def delayed(self) -> int:
        return int(self.client.zcard("celeriac:delayed"))

    def owners(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.client.hvals("celeriac:owners")]

    def beats(self) -> int:
        return sum(map(int, self.client.hvals("celeriac:beats")))

    def held_by(self, pid: int) -> int:
        return sum(self.client.hlen(b"celeriac:held:" + owner) for owner in self._owners_of(pid))

    def wait_noted(self, pid: int, count: int) -> None:
        until = time.monotonic() + 60
        while sum(self.client.scard(b"celeriac:started:" + owner) for owner in self._owners_of(pid)) < count:
            assert time.monotonic() < until, f"it is not known that the node of pid {pid} has begun {count} runs"
            time.sleep(0.005)

    def _owners_of(self, pid: int) -> list[bytes]:
        owners = self.client.hgetall("celeriac:owners").items()
        return [owner for owner, text in owners if json.loads(text)["pid"] == pid]

    def dead_reasons(self) -> list[str]:
        return [reason for reason, _ in self.dead_letters()]

    def dead_letters(self) -> list[tuple[str, bytes]]:
        """Return why each dead letter died, and what it was, byte by byte; the oldest first."""
        letters = sorted((int(number), letter) for number, letter in self.client.hgetall("celeriac:dead").items())
        return [_opened_letter(letter) for _, letter in letters]

    def records(self) -> dict[str, bytes]:
        keys = list(self._results.scan_iter(match="celery-task-meta-*", count=10_000))
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), 1_000):
            chunk = keys[start : start + 1_000]
            found.update(zip((key.decode()[17:] for key in chunk), self._results.mget(chunk), strict=True))
        return {task_id: record for task_id, record in found.items() if record is not None}

    def record(self, task_id: str) -> bytes | None:
        return self._results.get(f"celery-task-meta-{task_id}")

    def others(self) -> dict[str, bytes | None]:
        """Return what is beside the records, if it is a text, else None, by key; and nothing of the broker's."""
        ours = (b"celery-task-meta-", b"celeriac:", b"_kombu.")
        keys = [key for key in self._results.scan_iter(count=10_000) if not key.startswith(ours)]
        return dict(zip(map(bytes.decode, keys), self._results.mget(keys) if keys else [], strict=True))

    def put_record(self, task_id: str, record: bytes) -> None:
        self._results.set(f"celery-task-meta-{task_id}", record)

    def hand_over(self, queue: str) -> None:
        owner = max(self.client.hkeys("celeriac:owners"), key=int)
        for tag in itertools.count(1):  # the first ones, which its empty claims have used up
            envelope = self.client.rpop(queue)
            if envelope is None:
                return
            self.client.hset(b"celeriac:held:" + owner, str(tag), b"6:celery" + envelope)

    def add_ghost(self) -> None:
        (owner, text), *_ = self.client.hgetall("celeriac:owners").items()
        ghost = str(2**63 - 1)
        self.client.hset("celeriac:epochs", ghost, self.client.hget("celeriac:epochs", owner))
        self.client.hset("celeriac:beats", ghost, 1)
        self.client.hset("celeriac:owners", ghost, text)

    def assert_clean(self) -> None:
        assert self.kept() == []
        assert self.owners() == []
        names = {key.decode() for key in self.client.scan_iter(match="celeriac:*", count=1_000)}
        assert {name for name in names if not name.startswith(_STAYS)} == set()
        passing = [name for name in names if name.startswith(("celeriac:sent:", "celeriac:heard:"))]
        assert [name for name in passing if self.client.ttl(name) <= 0] == []


class RabbitStore(RedisStore):
    """Look at messages on RabbitMQ, whose results are in a database of Redis.

    The server tells a stranger what waits, not who holds what: what asks for that cannot be asked here.
    """

    def __init__(self, url: str, *, results: str) -> None:
        super().__init__(results, results=results, reach=(url, results))
        self._url = url

    @classmethod
    def beside(cls, server: str, url: str) -> RabbitStore:
        """Take a virtual host, and a database for the results as `on` does."""
        with contextlib.closing(RedisStore.on(server)) as results:
            return cls(url, results=results.urls["backend"])

    def done(self) -> int:
        """Count the results, which have this database for themselves."""
        return int(self.client.dbsize())

    def ready(self, queue: str) -> int:
        """Count what waits in a queue."""
        host, _, port = urlsplit(self._url).netloc.rpartition("@")[2].partition(":")
        with amqp.Connection(f"{host}:{port}", virtual_host=urlsplit(self._url).path[1:] or "/") as connection:
            return int(connection.channel().queue_declare(queue, passive=True).message_count)

    def waiting(self, queues: Iterable[str]) -> set[str]:
        """Return those of some queues in which something waits."""
        host, _, port = urlsplit(self._url).netloc.rpartition("@")[2].partition(":")
        found = set()
        with amqp.Connection(f"{host}:{port}", virtual_host=urlsplit(self._url).path[1:] or "/") as connection:
            for queue in queues:
                with contextlib.suppress(amqp.NotFound):  # which ends its channel
                    if connection.channel().queue_declare(queue, passive=True).message_count:
                        found.add(queue)
        return found

    def held_by(self, pid: int) -> int:
        return 1  # as far as anybody knows

    def dead_reasons(self) -> list[str]:
        return [] if not self.ready("celeriac.dlq") else ["there are dead letters"]

    def assert_clean(self) -> None:
        assert self.ready("celery") == 0
        assert {name for name in self.client.keys("*") if not name.startswith(b"celery-task-meta-")} == set()


_DATABASES: Final = itertools.cycle(range(1, 14))
"""Database 0 is that of `redis_db`, which empties all; tests name the last two themselves."""

_STAYS: Final = (
    "celeriac:alive",
    "celeriac:dead",
    "celeriac:format",
    "celeriac:heard:",
    "celeriac:queues",
    "celeriac:revoked",
    "celeriac:sent:",
)
"""What may be left when nothing is to be done and no node lives."""

_COUNT: Final = """
local count = redis.call('ZCARD', 'celeriac:delayed')
for _, key in ipairs(redis.call('KEYS', '*')) do
  if string.sub(key, 1, 17) ~= 'celery-task-meta-' then
    if redis.call('TYPE', key).ok == 'list' then
      count = count + redis.call('LLEN', key)
    elseif string.sub(key, 1, 14) == 'celeriac:held:' then
      count = count + redis.call('HLEN', key)
    end
  end
end
return count
"""
"""Count the messages of a database. Output: a number."""

_LOOK: Final = """
local waiting, held = {}, {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('TYPE', key).ok == 'list' then
    for _, envelope in ipairs(redis.call('LRANGE', key, 0, -1)) do
      table.insert(waiting, {key, envelope})
    end
  elseif string.sub(key, 1, 14) == 'celeriac:held:' then
    for _, record in ipairs(redis.call('HVALS', key)) do table.insert(held, record) end
  end
end
local later, flat = {}, redis.call('ZRANGE', 'celeriac:delayed', 0, -1, 'WITHSCORES')
for i = 1, #flat, 2 do table.insert(later, {flat[i], flat[i + 1]}) end
return {waiting, held, later, redis.call('HGETALL', 'celeriac:counts')}
"""
"""Read the messages of a database. Output: {list, envelope} pairs, records, {member, score} pairs, counts."""


def opened_record(record: bytes) -> tuple[bytes, bytes]:
    """Divide a record into the list that its message was taken from, and the envelope; a letter into field and rest."""
    length, _, rest = record.partition(b":")
    return rest[: int(length)], rest[int(length) :]


def _opened_letter(letter: bytes) -> tuple[str, bytes]:
    _, rest = opened_record(letter)  # when it died
    reason, rest = opened_record(rest)
    for _ in range(3):  # where its result is
        _, rest = opened_record(rest)
    return reason.decode(), opened_record(rest)[1]


def _fingerprint(envelope: bytes) -> bytes:
    """Name an envelope in the hash of counts, where nobody looks into it."""
    return b"%d:%s" % (len(envelope), hashlib.sha1(envelope[-1024:]).hexdigest().encode())


def _kept(key: bytes, envelope: bytes, held: bool, eta: float | None, accounts: Mapping[bytes, Any]) -> Kept:
    headers = json.loads(envelope)["headers"]
    crashes, node_losses, releases = map(int, accounts.get(_fingerprint(envelope), (0, 0, 0)))
    return Kept(
        task_id=headers["id"],
        queue=key.decode().partition("\x06\x16")[0],
        headers=headers,
        held=held,
        eta=eta,
        crashes=crashes,
        node_losses=node_losses,
        releases=releases,
    )
