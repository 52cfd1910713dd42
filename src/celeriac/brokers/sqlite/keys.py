"""Unique keys and rate limits in the tables. Every function here runs inside the caller's write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from celeriac.brokers.base import Booking, Conflict, RateRequest
from celeriac.brokers.rates import Flow, book
from celeriac.brokers.sqlite.rows import insertion, insertions
from celeriac.brokers.uniqueness import REPLACED_FOR, Holder, Refused, Verdict, is_replaced, judge, until_of
from celeriac.message import Message, OnConflict, Unique
from celeriac.wire.unique import unique_of

_HOLDER: Final = "SELECT task_id, until FROM unique_key WHERE key = ?"
_TAKE: Final = "INSERT OR REPLACE INTO unique_key (key, task_id, until) VALUES (?, ?, ?)"
_REPLACE: Final = "INSERT OR REPLACE INTO replaced (task_id, by, until) VALUES (?, ?, ?)"
_IS_REPLACED: Final = "SELECT 1 FROM replaced WHERE task_id = ?"
ANY_REPLACED: Final = "EXISTS (SELECT 1 FROM replaced)"
"""SQL that says whether any run was replaced."""

_FREE: Final = "DELETE FROM unique_key WHERE key = ? AND task_id = ?"
_FORGET: Final = "DELETE FROM replaced WHERE task_id = ?"
_FREE_WAITING: Final = """
DELETE FROM unique_key WHERE task_id IN (SELECT task_id FROM message WHERE queue = ? AND owner IS NULL)
"""
_FLOW: Final = "SELECT line_at, gate_at FROM flow WHERE key = ?"
_KEEP_FLOW: Final = "INSERT OR REPLACE INTO flow (key, line_at, gate_at) VALUES (?, ?, ?)"
_DELETE_OVER: Final = (
    "DELETE FROM unique_key WHERE key IN (SELECT key FROM unique_key WHERE until <= ? LIMIT ?)",
    "DELETE FROM replaced WHERE task_id IN (SELECT task_id FROM replaced WHERE until <= ? LIMIT ?)",
)


def publish(connection: sqlite3.Connection, messages: Sequence[Message], now: float) -> list[Conflict]:
    """Insert messages, and return which of them are left out because another run has their key.

    Raises:
        Refused: one of them that is left out says `RAISE`.
    """
    conflicts: list[Conflict] = []
    for position, message in enumerate(messages):
        unique = message.unique
        holder = None if unique is None else _refusing(connection, message, unique, now)
        if holder is None or unique is None:
            connection.execute(*insertion(message))
            continue
        conflict = Conflict(position, unique.key, holder.task_id)
        if unique.on_conflict is OnConflict.RAISE:
            raise Refused(conflict)
        conflicts.append(conflict)
    return conflicts


def publish_following(connection: sqlite3.Connection, messages: Sequence[Message], now: float) -> None:
    """Insert messages that follow a run: none of them is left out."""
    for message in messages:
        if message.unique is not None:
            _refusing(connection, message, message.unique, now)
    connection.executemany(*insertions(messages))


def _refusing(connection: sqlite3.Connection, message: Message, unique: Unique, now: float) -> Holder | None:
    """Give a message its key, or return who has it."""
    found = connection.execute(_HOLDER, (unique.key,)).fetchall()
    holder = Holder(*found[0]) if found else None
    if unique.on_conflict is OnConflict.KEEP and connection.execute(_IS_REPLACED, (message.task_id,)).fetchall():
        return None  # it is not to begin, and must be in nobody's way
    verdict = judge(unique, message.task_id, holder, now)
    if verdict is Verdict.REFUSE:
        return holder
    if verdict is Verdict.YIELD and holder is not None:
        connection.execute(_REPLACE, (message.task_id, holder.task_id, now + REPLACED_FOR))
    if verdict is Verdict.TAKE:
        if holder is not None and is_replaced(holder, message.task_id, now):
            connection.execute(_REPLACE, (holder.task_id, message.task_id, now + REPLACED_FOR))
        connection.execute(_TAKE, (unique.key, message.task_id, until_of(message, unique, now)))
    return None


def take(connection: sqlite3.Connection, task_id: str, headers: object, now: float) -> None:
    """Give a message that is put back the key that its headers name, if it is free."""
    unique = unique_of(headers) if isinstance(headers, bytes) else None
    if unique is not None:
        _refusing(connection, Message(task_id=task_id, queue="", headers=b"", body=b""), unique, now)


def free(connection: sqlite3.Connection, runs: Sequence[tuple[str, str]]) -> None:
    """End what is kept of unique runs, each (key, task id); a key that another run has is left alone."""
    connection.executemany(_FREE, runs)
    connection.executemany(_FORGET, [(task_id,) for _, task_id in runs])


def free_waiting(connection: sqlite3.Connection, queue: str) -> None:
    """Give the keys back of what waits in a queue and is about to be deleted."""
    if connection.execute("SELECT 1 FROM unique_key LIMIT 1").fetchall():
        connection.execute(_FREE_WAITING, (queue,))


def replaced_among(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return by which runs those of `ids` were replaced that were; `ANY_REPLACED` says whether to ask."""
    sql = "SELECT by FROM replaced WHERE task_id = ?"
    return {task_id: str(by) for task_id in ids for (by,) in connection.execute(sql, (task_id,)).fetchall()}


def book_all(connection: sqlite3.Connection, requests: Sequence[RateRequest], now: float) -> list[Booking]:
    """Give each request its start."""
    flows: dict[str, Flow] = {}
    booked = []
    for request in requests:
        flow = flows.get(request.key)
        if flow is None:
            found = connection.execute(_FLOW, (request.key,)).fetchall()
            flow = Flow(*found[0]) if found else Flow()
        flows[request.key], booking = book(flow, request.interval, request.booking, now)
        booked.append(booking)
    connection.executemany(_KEEP_FLOW, [(key, flow.line_at, flow.gate_at) for key, flow in flows.items()])
    return booked


def delete_over(connection: sqlite3.Connection, now: float, at_most: int) -> int:
    """Delete keys, and notes of replaced runs, that have ended by themselves, and say how many."""
    return sum(connection.execute(sql, (now, at_most)).rowcount for sql in _DELETE_OVER)


def booking_of(value: object) -> Booking | None:
    """Return the booking that a column holds."""
    return Booking(abs(value), value > 0) if isinstance(value, float) else None


def column_of(booking: Booking | None) -> float | None:
    """Return what a column holds for a booking."""
    if booking is None:
        return None
    return booking.at if booking.is_final else -booking.at
