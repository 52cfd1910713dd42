"""Joins in the tables of a celeriac file. Every function here runs inside the caller's write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.backends.joins import CountedMember, JoinState, KeptJoin
from celeriac.brokers.joins import JoinAddition, Member
from celeriac.message import Message

DELETE_AT_ONCE: Final = 1_000
"""Members that are deleted in one go: others wait for the file meanwhile."""

_NOWHERE: Final = (1 << 63) - 1
"""Place of members without an index: behind all others."""

KEPT: Final = "SELECT size, added, counted, state, expires_at, header, message FROM joining WHERE group_id = ?"
"""SQL whose row `kept_of` reads; its argument is the id of a group."""

MEMBERS: Final = """
SELECT place, task_id, state, item FROM join_member
WHERE group_id = ?1 AND (place, task_id) > (?2, ?3) ORDER BY place, task_id LIMIT ?4
"""
"""SQL whose rows `member_of` reads: those of a group behind a place and an id, in order, at most so many."""

_KEEP: Final = """
INSERT INTO joining (group_id, size, added, counted, state, expires_at, header, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (group_id) DO UPDATE SET
    size = excluded.size, added = excluded.added, counted = excluded.counted, state = excluded.state,
    expires_at = excluded.expires_at, header = excluded.header, message = excluded.message
"""
_INSERT_MEMBER: Final = """
INSERT OR IGNORE INTO join_member (group_id, place, task_id, state, item) VALUES (?, ?, ?, ?, ?)
"""
_INSERT_ADDITION: Final = "INSERT OR IGNORE INTO join_addition (group_id, place, task_id) VALUES (?, ?, ?)"
_DELETE_MEMBERS: Final = f"""
DELETE FROM join_member WHERE group_id = ?1 AND (place, task_id) IN (
    SELECT place, task_id FROM join_member WHERE group_id = ?1 LIMIT {DELETE_AT_ONCE})
"""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Message).decode


class SqliteJoins:
    """Be the table of joins, within one transaction of a file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, group_id: str) -> KeptJoin | None:
        rows = self._connection.execute(KEPT, (group_id,)).fetchall()
        return kept_of(rows[0]) if rows else None

    def write(self, group_id: str, kept: KeptJoin) -> None:
        message = None if kept.message is None else _encode(kept.message)
        row = (group_id, kept.size, kept.added, kept.counted, kept.state, kept.expires_at, kept.header, message)
        self._connection.execute(_KEEP, row)

    def insert_members(self, group_id: str, members: Sequence[Member]) -> int:
        rows = [(group_id, _place(one.index), one.task_id, one.state, one.item) for one in members]
        return self._connection.executemany(_INSERT_MEMBER, rows).rowcount

    def insert_additions(self, group_id: str, additions: Sequence[JoinAddition]) -> int:
        rows = [(group_id, _place(one.index), one.task_id) for one in additions]
        return self._connection.executemany(_INSERT_ADDITION, rows).rowcount

    def drop_members(self, group_id: str) -> None:
        _drop(self._connection, group_id)


def kept_of(row: tuple[Any, ...]) -> KeptJoin:
    """Return the join that a row of `KEPT` holds."""
    size, added, counted, state, expires_at, header, message = row
    return KeptJoin(
        size=size,
        added=added,
        counted=counted,
        state=JoinState(state),
        message=None if message is None else _decode(message),
        header=header,
        expires_at=expires_at,
    )


def member_of(row: tuple[Any, ...]) -> CountedMember:
    """Return the member that a row of `MEMBERS` holds."""
    place, task_id, state, item = row
    return CountedMember(task_id, None if place == _NOWHERE else place, state, item)


def delete_joins(connection: sqlite3.Connection, now: float) -> int:
    """Delete a bounded share of the joins that have expired, and of the members of those that are done; count them."""
    found = connection.execute(
        "SELECT group_id, 1 FROM joining WHERE expires_at <= ?1 UNION ALL "
        "SELECT group_id, 0 FROM joining WHERE is_left LIMIT 20",
        (now,),
    ).fetchall()
    deleted = 0
    for group_id, has_expired in found:
        if deleted >= DELETE_AT_ONCE:
            break
        count, is_left = _drop(connection, group_id)
        deleted += count
        if has_expired and not is_left:
            deleted += connection.execute("DELETE FROM joining WHERE group_id = ?", (group_id,)).rowcount
    return deleted


def _drop(connection: sqlite3.Connection, group_id: str) -> tuple[int, bool]:
    """Delete members, at most so many, and additions; say how many, and whether some are left for the upkeep."""
    count = connection.execute(_DELETE_MEMBERS, (group_id,)).rowcount
    count += connection.execute("DELETE FROM join_addition WHERE group_id = ?", (group_id,)).rowcount
    is_left = bool(connection.execute("SELECT 1 FROM join_member WHERE group_id = ? LIMIT 1", (group_id,)).fetchall())
    sql = "UPDATE joining SET is_left = ?1 WHERE group_id = ?2 AND is_left <> ?1"
    connection.execute(sql, (is_left, group_id))
    return count, is_left


def _place(index: int | None) -> int:
    return _NOWHERE if index is None else index
