"""What is revoked, in its table. The functions that change it run inside the caller's write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from celeriac.brokers.revocations import Feed, Kept, Revocation, is_news, kept_revocation, said_by
from celeriac.brokers.sqlite.store import Store

VERSION: Final = "SELECT max(version) FROM revoked"
"""SQL for the version of the last revocation; NULL when there is none."""

_READ_CHUNK: Final = 500

_KEPT: Final = "SELECT at, expires_at, said FROM revoked WHERE task_id = ?"
_KEEP: Final = "INSERT OR REPLACE INTO revoked (task_id, at, expires_at, said) VALUES (?, ?, ?, ?)"
_SINCE: Final = "SELECT version, task_id, at, expires_at, said FROM revoked WHERE version > ? ORDER BY version LIMIT ?"
_CLAIMED: Final = "SELECT task_id FROM message WHERE owner IS NOT NULL"
_DELETE_EXPIRED: Final = """
DELETE FROM revoked WHERE version IN (SELECT version FROM revoked WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
_COUNT: Final = "SELECT count(*) FROM revoked"
_DELETE_OLDEST: Final = "DELETE FROM revoked WHERE version IN (SELECT version FROM revoked ORDER BY version LIMIT ?)"


def revoke(connection: sqlite3.Connection, revocations: Sequence[Revocation]) -> list[str]:
    """Keep revocations, and return the ids of those that are news."""
    news = []
    for one in revocations:
        found = connection.execute(_KEPT, (one.task_id,)).fetchall()
        if is_news(Kept(*found[0]) if found else None, one):
            connection.execute(_KEEP, (one.task_id, one.at, one.expires_at, said_by(one)))
            news.append(one.task_id)
    return news


def read_feed(store: Store, since: int, *, limit: int, now: float) -> Feed:
    """Return what was revoked after a version and has not expired."""
    last = version_of(store.read(VERSION)[0][0])
    rows = store.read(_SINCE, (since, limit + 1))
    more = len(rows) > limit
    found = [(int(str(version)), _revocation(tuple(rest))) for version, *rest in rows[:limit]]
    # What was stored between the two reads is in the second one.
    version = max(last, found[-1][0]) if found and not more else found[-1][0] if found else last
    return Feed(version, [one for _, one in found if one.expires_at > now], more)


def read_some(store: Store, task_ids: Collection[str], now: float) -> dict[str, Revocation]:
    """Return the revocations of those ids that are revoked."""
    ids, found = list(task_ids), {}
    for start in range(0, len(ids), _READ_CHUNK):
        chunk = ids[start : start + _READ_CHUNK]
        marks = ", ".join("?" * len(chunk))
        sql = f"SELECT task_id, at, expires_at, said FROM revoked WHERE task_id IN ({marks}) AND expires_at > ?"
        for row in store.read(sql, (*chunk, now)):
            one = _revocation(row)
            found[one.task_id] = one
    return found


def read_claimed(store: Store, task_ids: Collection[str]) -> set[str]:
    """Return those ids whose message somebody has claimed."""
    return {str(task_id) for (task_id,) in store.read(_CLAIMED)}.intersection(task_ids) if task_ids else set()


def delete_over(connection: sqlite3.Connection, *, now: float, keep: int, at_most: int) -> int:
    """Delete revocations that have expired, and the oldest of too many; say how many."""
    deleted = connection.execute(_DELETE_EXPIRED, (now, at_most)).rowcount
    over = connection.execute(_COUNT).fetchall()[0][0] - keep
    if over > 0:
        deleted += connection.execute(_DELETE_OLDEST, (min(over, at_most),)).rowcount
    return deleted


def version_of(found: object) -> int:
    """Return what `VERSION` came to as a number; 0 when there is no revocation."""
    return found if isinstance(found, int) else 0


def _revocation(row: tuple[object, ...]) -> Revocation:
    task_id, at, expires_at, said = row
    return kept_revocation(str(task_id), float(str(at)), float(str(expires_at)), str(said))
