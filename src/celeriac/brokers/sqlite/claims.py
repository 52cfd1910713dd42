"""Choose and mark what a claim takes. Every statement here runs inside the caller's transaction, or only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.aging import lower_in_turn
from celeriac.brokers.base import Delivery
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.brokers.sqlite.keys import ANY_REPLACED, booking_of, replaced_among
from celeriac.brokers.sqlite.revoked import VERSION, version_of
from celeriac.brokers.sqlite.rows import SIZE, message_of
from celeriac.brokers.sqlite.store import Store

CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024
"""What one claim weighs at most, unless it is a single message."""

_PROMOTE_MAX: Final = 500
_SKIP_SCAN_ABOVE: Final = 8

# What is due, and what holds text where an instant should be (it sorts behind every number), to be found out. Asked
# for first, because doing it in vain costs four times as much.
_ANY_DUE: Final = """
SELECT 1 WHERE EXISTS (SELECT 1 FROM message WHERE eta <= ? AND eta IS NOT NULL AND owner IS NULL)
OR EXISTS (SELECT 1 FROM message WHERE eta >= '' AND eta IS NOT NULL AND owner IS NULL)
"""
_PROMOTE: Final = """
UPDATE message SET eta = NULL WHERE id IN (
    SELECT id FROM message WHERE eta <= ? AND eta IS NOT NULL AND owner IS NULL ORDER BY eta LIMIT ?)
OR id IN (SELECT id FROM message WHERE eta >= '' AND eta IS NOT NULL AND owner IS NULL LIMIT 100)
"""
_NEXT_DUE: Final = "SELECT min(eta) FROM message WHERE eta IS NOT NULL AND owner IS NULL"

# What is too large is never handed to Python. `length` reads a blob's length in the header of its row; of a text it
# counts the characters before the first NUL, hence the casts. An id that is too long for one comes as a blob.
_READY: Final = f"""
SELECT id, crashes, node_losses, releases, held_before, {SIZE},
    length(CAST(task_id AS BLOB)) + ifnull(length(CAST(content_type AS BLOB)), 0)
    + ifnull(length(CAST(content_encoding AS BLOB)), 0),
    booking, queue, priority, eta,
    CASE WHEN length(CAST(task_id AS BLOB)) <= 1020 THEN task_id ELSE substr(CAST(task_id AS BLOB), 1, 255) END,
    CASE WHEN length(CAST(content_type AS BLOB)) <= ?3 THEN content_type END,
    CASE WHEN length(CAST(content_encoding AS BLOB)) <= ?3 THEN content_encoding END,
    CASE WHEN length(headers) <= ?3 THEN headers END,
    CASE WHEN {SIZE} <= ?3 THEN properties END,
    CASE WHEN {SIZE} <= ?3 THEN body END
FROM message WHERE queue = ?1 AND owner IS NULL AND eta IS NULL AND EXISTS (SELECT 1 FROM owner WHERE number = ?4)
ORDER BY priority, id LIMIT ?2
"""
_READY_FROM: Final = _READY.replace("ORDER BY", "AND priority >= ?5 ORDER BY")
_PRIORITIES: Final = """
WITH RECURSIVE found(priority) AS (
    SELECT min(priority) FROM message WHERE queue = ?1 AND owner IS NULL AND eta IS NULL
    UNION ALL
    SELECT (SELECT min(priority) FROM message
            WHERE queue = ?1 AND owner IS NULL AND eta IS NULL AND priority > found.priority)
    FROM found WHERE found.priority IS NOT NULL)
SELECT priority FROM found WHERE priority IS NOT NULL
"""
_ANY_READY: Final = "SELECT 1 FROM message WHERE queue = ? AND owner IS NULL AND eta IS NULL LIMIT 1"

# One step per queue that holds something, however many messages that is.
_QUEUES_WITH_READY: Final = """
WITH RECURSIVE found(queue) AS (
    SELECT min(queue) FROM message WHERE owner IS NULL AND eta IS NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM message WHERE owner IS NULL AND eta IS NULL AND queue > found.queue)
    FROM found WHERE found.queue IS NOT NULL)
SELECT queue FROM found WHERE queue IS NOT NULL
"""


# One statement: each costs a claim 1.5 µs.
_CONCERNING_RUNS: Final = f"SELECT {ANY_REPLACED}, ({VERSION})"


def next_due(store: Store) -> float | None:
    """Return the unix instant at which the next delayed message becomes claimable, or None."""
    due = store.read(_NEXT_DUE)[0][0]
    if due is None or isinstance(due, float):
        return due
    return 0.0  # no instant at all: due at once, to be claimed and found out


def is_worth_it(store: Store, queues: Sequence[str], now: float) -> bool:
    """Say whether a claim would find something, without taking the write lock."""
    if len(queues) > _SKIP_SCAN_ABOVE:
        if not {queue for (queue,) in store.read(_QUEUES_WITH_READY)}.isdisjoint(queues):
            return True
    else:
        for queue in queues:
            if store.read(_ANY_READY, (queue,)):
                return True
    due = next_due(store)
    return due is not None and due <= now


class Taker:
    """Take messages for one claim.

    Args:
        connection: in a write transaction.
        owner: whose claim it is; who was declared dead finds nothing.
        token: fencing token of the claim.
        max_bytes: `message_max_bytes`; what is larger is taken without its content.

    Attributes:
        revocations: version of what is revoked, once something was taken.
    """

    def __init__(self, connection: sqlite3.Connection, *, owner: int, token: int, max_bytes: int) -> None:
        self._connection = connection
        self._owner = owner
        self._token = token
        self._max_bytes = max_bytes
        self._budget = CLAIM_MAX_BYTES
        self._taken: list[Delivery] = []
        self.revocations = 0

    def take(self, queues: Sequence[str], *, limit: int, first: int, now: float, aging: int = 0) -> list[Delivery]:
        """Claim up to `limit` messages.

        The queues get equal shares, beginning with the one at position `first`; those after it fill what it leaves.
        With `aging`, from `Aging.turn`, lower priorities come first.
        """
        if self._connection.execute(_ANY_DUE, (now,)).fetchall():
            self._connection.execute(_PROMOTE, (now, _PROMOTE_MAX))
        rotated = self._rotated(queues, first)
        for position, queue in enumerate(rotated):
            left = limit - len(self._taken)
            if left <= 0 or self._budget <= 0:
                break
            lowest = self._lower_in_turn(queue, aging) if aging else None
            self._take_from(queue, -(-left // (len(rotated) - position)), lowest)
        marks = [(self._token, delivery.tag) for delivery in self._taken]
        self._connection.executemany("UPDATE message SET owner = ? WHERE id = ?", marks)
        return self._told_of_replaced()

    def _told_of_replaced(self) -> list[Delivery]:
        any_replaced, version = self._connection.execute(_CONCERNING_RUNS).fetchall()[0]
        self.revocations = version_of(version)
        if not any_replaced:
            return self._taken
        replaced = replaced_among(self._connection, (delivery.message.task_id for delivery in self._taken))
        return [
            msgspec.structs.replace(delivery, replaced_by=replaced.get(delivery.message.task_id))
            for delivery in self._taken
        ]

    def _rotated(self, queues: Sequence[str], first: int) -> Sequence[str]:
        if len(queues) > _SKIP_SCAN_ABOVE:
            holding = {queue for (queue,) in self._connection.execute(_QUEUES_WITH_READY).fetchall()}
            queues = [queue for queue in queues if queue in holding]
        # In front, whoever's turn it is: a chord waits for each, and where there are none the others lose no share.
        ahead = [JOINS_QUEUE] if JOINS_QUEUE in queues else []
        if ahead:
            queues = [queue for queue in queues if queue != JOINS_QUEUE]
        start = first % len(queues) if queues else 0
        return [*ahead, *queues[start:], *queues[:start]]

    def _lower_in_turn(self, queue: str, turn: int) -> int | None:
        """Return a lower priority of which something waits in a queue; None where there is only one."""
        rows = self._connection.execute(_PRIORITIES, (queue,)).fetchall()
        return lower_in_turn([priority for (priority,) in rows if isinstance(priority, int)], turn)

    def _take_from(self, queue: str, limit: int, lowest: int | None) -> None:
        values: tuple[object, ...] = (queue, limit, self._max_bytes, self._owner)
        if lowest is None:
            cursor = self._connection.execute(_READY, values)
        else:
            cursor = self._connection.execute(_READY_FROM, (*values, lowest))
        try:
            for row in cursor:
                size, beside = (length if type(length) is int else 0 for length in row[5:7])
                weight = sum(length for length in (size, beside) if length <= self._max_bytes)
                if weight > self._budget and self._taken:
                    self._budget = 0
                    return
                self._budget -= weight
                self._taken.append(self._delivery(row, size, beside))
        finally:
            cursor.close()

    def _delivery(self, row: tuple[Any, ...], size: int, beside: int) -> Delivery:
        message, fault = message_of(row[8:])
        if size > self._max_bytes or beside > self._max_bytes:
            what = "the message has" if size > self._max_bytes else "its id and content type have"
            fault = f"{what} {max(size, beside):,} bytes; message_max_bytes allows {self._max_bytes:,}"
        crashes, node_losses, releases = row[1:4]
        if not (type(crashes) is type(node_losses) is type(releases) is int):
            fault = fault or "a counter of the message holds something else than a number"
            crashes = node_losses = releases = 0
        return Delivery(
            tag=row[0],
            owner=self._token,
            message=message,
            crashes=crashes,
            node_losses=node_losses,
            releases=releases,
            redelivered=bool(row[4]),
            fault=fault,
            booking=None if row[7] is None else booking_of(row[7]),
        )
