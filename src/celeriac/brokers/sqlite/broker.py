"""The producer's side of the SQLite broker, and what people do with queues and dead letters.

`publish` commits in the calling thread; `group.py` says how threads share a commit.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    DEAD_LETTER_EXPIRES,
    DEAD_LETTER_MAX,
    MESSAGE_MAX_BYTES,
    Broker,
    Capabilities,
    Conflict,
    DeadLetter,
    Incarnation,
    QueueDepth,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import spread
from celeriac.brokers.revocations import FEED_MAX, REVOCATIONS_MAX, Feed, Revocation
from celeriac.brokers.sqlite import keys, revoked, rooms
from celeriac.brokers.sqlite.bindings import BEHIND, read_bindings
from celeriac.brokers.sqlite.bus import SqliteBus
from celeriac.brokers.sqlite.consumer import SqliteConsumer
from celeriac.brokers.sqlite.rows import COLUMNS, KEEP_LETTER, SIZE, dead_row_of, insertion, insertions, message_of
from celeriac.brokers.sqlite.store import READ_TIMEOUT, Store
from celeriac.brokers.topology import Binding, Queue
from celeriac.brokers.uniqueness import Refused
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import OperationalError
from celeriac.message import Message
from celeriac.wire.limits import DEFAULT_LIMITS

logger: Final = logging.getLogger("celeriac.sqlite")

_CLEAN_CHUNK: Final = 500
_CLEAN_WITHIN: Final = 0.05
_REVOKED_AT_ONCE: Final = 1_000
_CLEAN_AFTER: Final = 10_000
"""Publishing this many messages makes a producer clean once, so that files stay bounded when no worker runs."""


class SqliteBroker(Broker):
    """Keep messages in one SQLite file of this machine.

    Args:
        path: the file; made when it is not there, in a folder that is.
        synchronous: ``NORMAL`` outlives every death of a process, ``FULL`` a power cut too (3 to 15 times slower).
        dead_letter_max: dead letters kept per queue.
        dead_letter_expires: seconds for which they are kept.
        message_max_bytes: larger messages are not handed to workers.
        revocations_max: ids kept as revoked.
        priority_aging: see `Aging`.
        clock: the store's clock; tests pass their own.
    """

    capabilities = Capabilities(crosses_processes=True, survives_restart=True)

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "NORMAL",
        dead_letter_max: int = DEAD_LETTER_MAX,
        dead_letter_expires: float = DEAD_LETTER_EXPIRES,
        message_max_bytes: int = MESSAGE_MAX_BYTES,
        revocations_max: int = REVOCATIONS_MAX,
        priority_aging: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._priority_aging = priority_aging
        self.path = Path(os.path.realpath(path))
        self.synchronous = synchronous
        self.message_max_bytes = message_max_bytes
        self.clock = clock
        self._dead_letter_max = dead_letter_max
        self._dead_letter_expires = dead_letter_expires
        self._revocations_max = revocations_max
        self._declared = Declared()
        self._published = _CLEAN_AFTER  # the first publish of a process cleans

    @property
    def url(self) -> str:
        full = "?synchronous=FULL" if self.synchronous == "FULL" else ""
        return f"sqlite:///{self.path}{full}"

    def store(self) -> Store:
        """Return this process's open file."""
        return Store.at(self.path, self.synchronous)

    def open(self, *, deadline_at: float) -> None:
        Store.at(self.path, self.synchronous, deadline_at=deadline_at)

    def close(self) -> None:
        Store.close_at(self.path, self.synchronous)

    def consumer(self, incarnation: Incarnation) -> SqliteConsumer:
        return SqliteConsumer(
            self.path,
            self.synchronous,
            incarnation,
            self.message_max_bytes,
            self.clock,
            self._declared,
            Aging(self._priority_aging),
        )

    def bus(self) -> SqliteBus:
        return SqliteBus(self.path, clock=self.clock)

    # -- publishing ---------------------------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        store = Store.at(self.path, self.synchronous, deadline_at=deadline_at)
        conflicts: Sequence[Conflict] = ()
        if messages[0].route is not None if len(messages) == 1 else any(each.route is not None for each in messages):
            found = spread(messages, self._behind)
            return found.conflicts(self.publish(found.messages, deadline_at=deadline_at)) if found.messages else ()
        if messages[0].unique is not None if len(messages) == 1 else any(each.unique is not None for each in messages):
            conflicts = self._publish_unique(store, messages, deadline_at)
        elif not _publish_alone(store, messages):
            store.group.commit(messages, lambda group, until: _publish(store, group, until), deadline_at=deadline_at)
        store.work.ring()
        self._published += len(messages)
        if self._published >= _CLEAN_AFTER:
            self._clean_briefly()
        return conflicts

    def declare(self, queues: Iterable[Queue]) -> None:
        self._declared.add(queues)

    def bindings(self, exchange: str, *, deadline_at: float) -> list[Binding]:
        Store.at(self.path, self.synchronous, deadline_at=deadline_at)
        return self._behind(exchange)

    def _behind(self, exchange: str) -> list[Binding]:
        stored = read_bindings(self.store().read(BEHIND, (exchange,)))
        return list(dict.fromkeys(self._declared.behind(exchange) + stored))

    def _publish_unique(self, store: Store, messages: Sequence[Message], deadline_at: float) -> Sequence[Conflict]:
        """Publish in a transaction that no other thread's messages share: it may be refused as a whole."""
        now = self.clock.now()
        try:
            return store.write(lambda db: keys.publish(db, messages, now), deadline_at=deadline_at, doing="publishing")
        except Refused as refused:
            return (refused.conflict,)

    def _clean_briefly(self) -> None:
        self._published = 0
        try:
            self._clean(time.monotonic() + _CLEAN_WITHIN)
        except OperationalError as exc:  # what was published is there; somebody else will clean
            logger.debug("not cleaned up this time: %s", exc)

    # -- queues -------------------------------------------------------------------------------------------------

    def depths(self, queues: Collection[str] | None = None) -> list[QueueDepth]:
        counted = self.store().read(_DEPTHS)
        totals = {queue: [0, 0, 0, 0] for queue in queues or ()}
        for queue, *numbers in counted:
            if queues is None or queue in totals:
                old = totals.setdefault(str(queue), [0, 0, 0, 0])
                totals[str(queue)] = [a + int(str(b)) for a, b in zip(old, numbers, strict=True)]
        return [
            QueueDepth(queue=queue, ready=ready, delayed=delayed, claimed=claimed, dead=dead)
            for queue, (ready, delayed, claimed, dead) in sorted(totals.items())
        ]

    def delayed(self, queues: Collection[str], *, limit: int = 100) -> list[Message]:
        rows = self.store().read(_DELAYED, (json.dumps(list(queues)), limit))
        return [message_of(row)[0] for row in rows]

    def purge(self, queue: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            keys.free_waiting(connection, queue)
            return connection.execute("DELETE FROM message WHERE queue = ? AND owner IS NULL", (queue,)).rowcount

        return self.store().write(work, deadline_at=time.monotonic() + READ_TIMEOUT, doing="purging")

    # -- dead letters -------------------------------------------------------------------------------------------

    def dead_letters(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        sql = f"SELECT {_LISTED} FROM dead_letter WHERE ?1 IS NULL OR queue = ?1 ORDER BY number DESC LIMIT ?2"
        return [_listed(row) for row in self.store().read(sql, (queue, limit))]

    def dead_letter(self, number: int) -> DeadLetter | None:
        store = self.store()
        listed = store.read(f"SELECT {_LISTED} FROM dead_letter WHERE number = ?", (number,))
        if not listed:
            return None
        found = _listed(listed[0])
        sql = f"SELECT {_WHOLE} FROM dead_letter WHERE number = ? AND {SIZE} <= ?"
        for row in store.read(sql, (number, self.message_max_bytes)):
            message, fault = message_of(row)
            if fault is None:
                found = msgspec.structs.replace(found, message=message)
        return found

    def replay(self, numbers: Collection[int]) -> list[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            ids = []
            for number in numbers:
                sql = "SELECT task_id, headers FROM dead_letter WHERE number = ?"
                for task_id, headers in connection.execute(sql, (number,)).fetchall():
                    ids.append(str(task_id))
                    keys.take(connection, ids[-1], headers, self.clock.now())
                    connection.execute(_REPLAY, (number,))
                    connection.execute("DELETE FROM dead_letter WHERE number = ?", (number,))
                    # Its FAILURE said that there would be no other outcome; now there will be one.
                    connection.execute("DELETE FROM result WHERE task_id = ? AND state = 'FAILURE'", (ids[-1],))
            return ids

        store = self.store()
        ids = store.write(work, deadline_at=time.monotonic() + READ_TIMEOUT, doing="replaying dead letters")
        store.work.ring()
        return ids

    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        now = self.clock.now()
        rows = [(now, reason, *dead_row_of(message)) for message, reason in letters]
        store = Store.at(self.path, self.synchronous, deadline_at=deadline_at)
        store.write(lambda db: db.executemany(KEEP_LETTER, rows), deadline_at=deadline_at, doing="keeping dead letters")

    def discard(self, numbers: Collection[int]) -> int:
        return self._change(
            "DELETE FROM dead_letter WHERE number = ?", [(number,) for number in numbers], "discarding dead letters"
        )

    # -- revocations --------------------------------------------------------------------------------------------

    def revoke(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        news: list[str] = []
        for first in range(0, len(revocations), _REVOKED_AT_ONCE):  # others want to write, too
            share = revocations[first : first + _REVOKED_AT_ONCE]
            store = Store.at(self.path, self.synchronous, deadline_at=deadline_at)
            news += store.write(partial(revoked.revoke, revocations=share), deadline_at=deadline_at, doing="revoking")
        return news

    def revocations(self, since: int = 0, *, limit: int = FEED_MAX) -> Feed:
        return revoked.read_feed(self.store(), since, limit=limit, now=self.clock.now())

    def revoked(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        return revoked.read_some(self.store(), task_ids, self.clock.now())

    def claimed(self, task_ids: Collection[str]) -> set[str]:
        return revoked.read_claimed(self.store(), task_ids)

    # -- upkeep -------------------------------------------------------------------------------------------------

    def owners(self) -> list[Incarnation]:
        rows = self.store().read("SELECT incarnation FROM owner ORDER BY number")
        return [msgspec.json.decode(str(described), type=Incarnation) for (described,) in rows]

    def clean(self) -> int:
        return self._clean(time.monotonic() + READ_TIMEOUT)

    def _clean(self, deadline_at: float) -> int:
        def work(connection: sqlite3.Connection) -> int:
            old = connection.execute(
                "DELETE FROM dead_letter WHERE number IN"
                " (SELECT number FROM dead_letter WHERE died_at < ? ORDER BY died_at LIMIT ?)",
                (self.clock.now() - self._dead_letter_expires, _CLEAN_CHUNK),
            ).rowcount
            over = [
                connection.execute(_DELETE_OVER, (queue, self._dead_letter_max, _CLEAN_CHUNK)).rowcount
                for (queue,) in connection.execute("SELECT DISTINCT queue FROM dead_letter").fetchall()
            ]
            rooms.let_in_everywhere(connection)
            now = self.clock.now()
            forgotten = revoked.delete_over(connection, now=now, keep=self._revocations_max, at_most=_CLEAN_CHUNK)
            ended = keys.delete_over(connection, now, _CLEAN_CHUNK) + rooms.delete_over(connection, _CLEAN_CHUNK)
            return old + sum(over) + forgotten + ended

        store = self.store()
        freed = store.tidy(deadline_at=deadline_at)
        if not store.read(_ANY_TO_CLEAN):
            return freed
        return freed + store.write(work, deadline_at=deadline_at, doing="cleaning up")

    def _change(self, sql: str, rows: Iterable[tuple[object, ...]], doing: str) -> int:
        def work(connection: sqlite3.Connection) -> int:
            return connection.executemany(sql, rows).rowcount

        return max(0, self.store().write(work, deadline_at=time.monotonic() + READ_TIMEOUT, doing=doing))


_ANY_TO_CLEAN: Final = """
SELECT 1 WHERE EXISTS (SELECT 1 FROM dead_letter) OR EXISTS (SELECT 1 FROM unique_key)
OR EXISTS (SELECT 1 FROM replaced) OR EXISTS (SELECT 1 FROM aside) OR EXISTS (SELECT 1 FROM revoked)
OR EXISTS (SELECT 1 FROM inside)
"""

_DELAYED: Final = f"""
SELECT {COLUMNS} FROM message
WHERE eta IS NOT NULL AND owner IS NULL AND queue IN (SELECT value FROM json_each(?1)) ORDER BY eta LIMIT ?2
"""

_DEPTHS: Final = """
SELECT queue, count(*), 0, 0, 0 FROM message WHERE owner IS NULL AND eta IS NULL GROUP BY queue
UNION ALL SELECT queue, 0, count(*), 0, 0 FROM message WHERE owner IS NULL AND eta IS NOT NULL GROUP BY queue
UNION ALL SELECT queue, 0, 0, count(*), 0 FROM message WHERE owner IS NOT NULL GROUP BY queue
UNION ALL SELECT queue, 0, 0, 0, count(*) FROM dead_letter GROUP BY queue
"""

_LISTED: Final = f"""
number, queue, substr(task_id, 1, 255), CASE WHEN length(headers) <= {DEFAULT_LIMITS.max_header_bytes} THEN headers END,
reason, died_at, {SIZE}
"""
_WHOLE: Final = "queue, priority, NULL, task_id, content_type, content_encoding, headers, properties, body"

_REPLAY: Final = """
INSERT INTO message (queue, priority, task_id, content_type, content_encoding, headers, properties, body)
SELECT queue, priority, task_id, content_type, content_encoding, headers, properties, body
FROM dead_letter WHERE number = ?
"""

_DELETE_OVER: Final = """
DELETE FROM dead_letter WHERE number IN (
    SELECT number FROM dead_letter WHERE queue = ?1 AND number <= (
        SELECT number FROM dead_letter WHERE queue = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
    ORDER BY number LIMIT ?3)
"""


def _publish_alone(store: Store, messages: Sequence[Message]) -> bool:
    """Publish a single message if nobody else publishes now: there is nothing to share then, or to wait for."""
    if len(messages) != 1 or store.group.is_waited_for:
        return False
    sql, row = insertion(messages[0])
    return store.execute_at_once(sql, row, doing="publishing")


def _publish(store: Store, messages: Sequence[Message], deadline_at: float) -> None:
    if len(messages) == 1:
        sql, row = insertion(messages[0])
        store.execute(sql, row, deadline_at=deadline_at, doing="publishing")
    else:
        sql, rows = insertions(messages)
        store.write(lambda db: db.executemany(sql, rows), deadline_at=deadline_at, doing="publishing")


def _listed(row: tuple[object, ...]) -> DeadLetter:
    number, queue, task_id, headers, reason, died_at, size_bytes = row
    return DeadLetter(
        number=int(str(number)),
        queue=str(queue),
        task_id=str(task_id),
        task=_task_name(headers),
        reason=str(reason),
        died_at=float(str(died_at)),
        size_bytes=int(str(size_bytes or 0)),
    )


class _Named(msgspec.Struct):
    task: str


def _task_name(headers: object) -> str | None:
    try:
        return msgspec.json.decode(headers if isinstance(headers, bytes) else b"", type=_Named).task
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
