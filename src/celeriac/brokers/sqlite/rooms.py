"""Who is inside of a concurrency limit, and who waits. Every function runs inside the caller's write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from celeriac.brokers.base import PUT_ASIDE_AT, Delivery, Room

_FORGET_INSIDE: Final = """
DELETE FROM inside WHERE key = ?
AND NOT EXISTS (SELECT 1 FROM message WHERE message.id = inside.message AND message.owner = inside.owner)
"""
_LEAVE: Final = "DELETE FROM inside WHERE key = ? AND message = ?"
_FORGET_OF_ANY_KEY: Final = """
DELETE FROM inside WHERE (key, message) IN (
    SELECT key, message FROM inside
    WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.id = inside.message AND message.owner = inside.owner) LIMIT ?)
"""
_FORGET_CALLED: Final = """
DELETE FROM aside WHERE key = ? AND called = 1 AND NOT EXISTS (SELECT 1 FROM message WHERE message.id = aside.message)
"""
_COUNT: Final = """
SELECT (SELECT count(*) FROM inside WHERE key = ?1), (SELECT count(*) FROM aside WHERE key = ?1 AND called = 1)
"""
_OWNED: Final = "SELECT 1 FROM message WHERE id = ? AND owner = ?"
_IS_IN: Final = "SELECT 1 FROM inside WHERE key = ? AND message = ? AND owner = ?"
_IS_CALLED: Final = "SELECT 1 FROM aside WHERE message = ? AND key = ? AND called = 1"
_ENTER: Final = "INSERT OR REPLACE INTO inside (key, message, owner) VALUES (?, ?, ?)"
_FORGET: Final = "DELETE FROM aside WHERE message = ?"
_FIRST: Final = "SELECT message FROM aside WHERE key = ? AND called = 0 ORDER BY message LIMIT 1"
_PUT_ASIDE: Final = "UPDATE message SET owner = NULL, held_before = 1, eta = ? WHERE id = ? AND owner = ?"
_NOTE_ASIDE: Final = "INSERT OR REPLACE INTO aside (message, key) VALUES (?, ?)"
_CALL: Final = "UPDATE message SET eta = NULL WHERE id = ? AND owner IS NULL AND eta = ?"
_NOTE_CALLED: Final = "UPDATE aside SET called = 1 WHERE message = ?"


def enter(connection: sqlite3.Connection, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
    """Let claimed messages in, or put them aside; say of each whether it is in."""
    entered = []
    for delivery, room in runs:
        is_in = _may_enter(connection, delivery, room)
        if is_in:
            connection.execute(_ENTER, (room.key, delivery.tag, delivery.owner))
            connection.execute(_FORGET, (delivery.tag,))
        elif connection.execute(_PUT_ASIDE, (PUT_ASIDE_AT, delivery.tag, delivery.owner)).rowcount:
            connection.execute(_NOTE_ASIDE, (delivery.tag, room.key))
        entered.append(is_in)
    let_in(connection, {room for _, room in runs})
    return entered


def _may_enter(connection: sqlite3.Connection, delivery: Delivery, room: Room) -> bool:
    if not connection.execute(_OWNED, (delivery.tag, delivery.owner)).fetchall():
        return False
    if connection.execute(_IS_IN, (room.key, delivery.tag, delivery.owner)).fetchall():
        return True
    inside, called = _count(connection, room.key)
    if connection.execute(_IS_CALLED, (delivery.tag, room.key)).fetchall():
        return inside < room.limit
    return inside + called < room.limit and _first_aside(connection, room.key) is None


def leave(connection: sqlite3.Connection, left: Sequence[tuple[int, Room]]) -> bool:
    """Call others in the place of messages that were settled, each (tag, room); say whether there were any."""
    connection.executemany(_FORGET, [(tag,) for tag, _ in left])
    connection.executemany(_LEAVE, [(room.key, tag) for tag, room in left])
    return let_in(connection, {room for _, room in left})


def let_in(connection: sqlite3.Connection, rooms: Iterable[Room]) -> bool:
    """Call as many of those that were put aside as there is room for; say whether there were any."""
    any_called = False
    for room in rooms:
        first = _first_aside(connection, room.key)
        if first is None:
            continue
        inside, called = _count(connection, room.key)
        left = room.limit - inside - called
        while first is not None and left > 0:
            if connection.execute(_CALL, (first, PUT_ASIDE_AT)).rowcount:
                connection.execute(_NOTE_CALLED, (first,))
                left -= 1
                any_called = True
            else:
                connection.execute(_FORGET, (first,))  # it was deleted
            first = _first_aside(connection, room.key)
    return any_called


def let_in_everywhere(connection: sqlite3.Connection) -> bool:
    """Call one of those that were put aside wherever nobody is inside; say whether there was any."""
    keys = connection.execute("SELECT DISTINCT key FROM aside").fetchall()
    return let_in(connection, [Room(key, 1) for (key,) in keys])


def delete_over(connection: sqlite3.Connection, at_most: int) -> int:
    """Delete notes of who was inside whose claims have ended: of a key that nobody uses again nobody else would."""
    return connection.execute(_FORGET_OF_ANY_KEY, (at_most,)).rowcount


def _count(connection: sqlite3.Connection, key: str) -> tuple[int, int]:
    """Count who is inside and who was called, without those whose claims or messages have ended."""
    connection.execute(_FORGET_INSIDE, (key,))
    connection.execute(_FORGET_CALLED, (key,))
    inside, called = connection.execute(_COUNT, (key,)).fetchall()[0]
    return inside, called


def _first_aside(connection: sqlite3.Connection, key: str) -> int | None:
    found = connection.execute(_FIRST, (key,)).fetchall()
    return found[0][0] if found else None
