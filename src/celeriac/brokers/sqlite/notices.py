"""The tables of the bus, and what is done with them in transactions.

They are in a file of their own beside the database, ``<db>-bus``: what may be lost must neither wait for what may not
nor hold it up, and needs no sync. Numbers are never used twice in one file, so a listener knows where it has come to,
and that it was overtaken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

from celeriac.brokers.sqlite.schema import APPLICATION_ID
from celeriac.brokers.sqlite.store import Store
from celeriac.brokers.subscription import KEEP, KEEP_BYTES
from celeriac.brokers.topics import Topic
from celeriac.exceptions import ImproperlyConfigured
from celeriac.wire.notices import Notice

VERSION: Final = 1

KEEP_SECONDS: Final = 60.0
"""For so long a notice can be read by a listener that is slow."""

_TABLES: Final = """
CREATE TABLE notice (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    said_at REAL NOT NULL,
    total INTEGER NOT NULL,          -- bytes of this notice and all before it
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    persistent INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE inbox (
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (exchange, routing_key)
) WITHOUT ROWID;
CREATE TABLE reply (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    persistent INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX reply_to ON reply(exchange, routing_key, number);
CREATE TRIGGER inbox_gone AFTER DELETE ON inbox BEGIN
    DELETE FROM reply WHERE exchange = OLD.exchange AND routing_key = OLD.routing_key;
END;
"""

_COLUMNS: Final = "exchange, routing_key, content_type, content_encoding, persistent, headers, body"
_SAY: Final = f"""
INSERT INTO notice (said_at, total, {_COLUMNS})
SELECT ?, ? + coalesce((SELECT total FROM notice ORDER BY number DESC LIMIT 1), 0), ?, ?, ?, ?, ?, ?, ?
"""
_FORGET: Final = f"""
DELETE FROM notice WHERE number < (
    SELECT number FROM notice
    WHERE said_at > ?
    AND number > (SELECT max(number) FROM notice) - {KEEP}
    AND total - length(headers) - length(body) >= (SELECT total FROM notice ORDER BY number DESC LIMIT 1) - {KEEP_BYTES}
    ORDER BY number LIMIT 1)
"""
_ANSWER: Final = f"""
INSERT INTO reply ({_COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
WHERE EXISTS (SELECT 1 FROM inbox WHERE exchange = ?1 AND routing_key = ?2)
"""
_STAY: Final = """
INSERT INTO inbox (exchange, routing_key, expires_at) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at
"""

Address = tuple[str, str]
"""Exchange and routing key of an inbox."""

Work = Callable[[sqlite3.Connection], None]
"""What is to be done in one transaction."""


class BusStore(Store):
    """Run transactions on the file of a bus."""

    @staticmethod
    def ensure(connection: sqlite3.Connection, path: Path) -> None:
        """Create the tables in an empty file; refuse one that is newer than this program."""
        (version,) = connection.execute("PRAGMA user_version").fetchall()[0]
        if version == VERSION:
            return
        if version > VERSION:
            raise ImproperlyConfigured(
                f"{path} was written by a newer celeriac (version {version}, this program knows {VERSION}); "
                "upgrade celeriac here"
            )
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )


def saying(notices: Sequence[Notice], *, now: float) -> Work:
    """Return how to say things at a unix instant, and forget what nobody can want any more."""
    rows = [(now, one.size_bytes, *_row(one)) for one in notices]

    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(_SAY, rows)
        connection.execute(_FORGET, (now - KEEP_SECONDS,))

    return work


def answering(notices: Sequence[Notice], *, now: float) -> Work:
    """Return how to put answers into the inboxes that are open at a unix instant."""
    rows = [_row(one) for one in notices]

    def work(connection: sqlite3.Connection) -> None:
        forget_dead_askers(connection, now)
        connection.executemany(_ANSWER, rows)

    return work


def staying(address: Address, *, now: float, expires_at: float) -> Work:
    """Return how to open an inbox, or keep it open, until a unix instant."""

    def work(connection: sqlite3.Connection) -> None:
        forget_dead_askers(connection, now)
        connection.execute(_STAY, (*address, expires_at))

    return work


def leaving(address: Address) -> Work:
    """Return how to close an inbox and drop what is in it."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM inbox WHERE exchange = ? AND routing_key = ?", address)

    return work


def forget_dead_askers(connection: sqlite3.Connection, now: float) -> None:
    """Close the inboxes whose askers have gone silent."""
    connection.execute("DELETE FROM inbox WHERE expires_at <= ?", (now,))


def take_answers(connection: sqlite3.Connection, address: Address) -> list[Notice]:
    """Take what is in an inbox, in the order in which it came."""
    where = "WHERE exchange = ? AND routing_key = ?"
    rows = connection.execute(f"SELECT {_COLUMNS} FROM reply {where} ORDER BY number", address).fetchall()
    connection.execute(f"DELETE FROM reply {where}", address)
    return read_rows(rows)


HAS_ANSWERS: Final = "SELECT 1 FROM reply WHERE exchange = ? AND routing_key = ? LIMIT 1"
RANGE: Final = "SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM notice"


class Query(NamedTuple):
    """Ask for rows: the text, with `?` for two numbers first, and the values of those that follow."""

    text: str
    values: tuple[str | int, ...]


def since(topics: Sequence[Topic]) -> Query:
    """Return the query for what was said after one number and up to another, and may belong to some topics.

    What routing keys begin with is compared here, so that who listens for a few of them does not read what all others
    say; the rest of a pattern is left to the subscription.
    """
    said = [_of_topic(topic) for topic in dict.fromkeys(topics)]
    where = " OR ".join(text for text, _ in said) or "0"
    values = tuple(value for _, each in said for value in each)
    return Query(
        f"SELECT {_COLUMNS} FROM notice WHERE number > ? AND number <= ? AND ({where}) ORDER BY number", values
    )


def _of_topic(topic: Topic) -> Query:
    words = topic.pattern.split(".")
    known = list(takewhile(lambda word: word not in ("*", "#"), words))
    if known == words:
        return Query("exchange = ? AND routing_key = ?", (topic.exchange, topic.pattern))
    if not known:
        return Query("exchange = ?", (topic.exchange,))
    start = ".".join(known)
    return Query("exchange = ? AND substr(routing_key, 1, ?) = ?", (topic.exchange, len(start), start))


def read_rows(rows: Iterable[Sequence[Any]]) -> list[Notice]:
    """Make notices of rows."""
    return [
        Notice(
            exchange=exchange,
            routing_key=routing_key,
            content_type=content_type,
            content_encoding=content_encoding,
            persistent=bool(persistent),
            headers=headers,
            body=body,
        )
        for exchange, routing_key, content_type, content_encoding, persistent, headers, body in rows
    ]


def _row(notice: Notice) -> tuple[object, ...]:
    return (
        notice.exchange,
        notice.routing_key,
        notice.content_type,
        notice.content_encoding,
        notice.persistent,
        notice.headers,
        notice.body,
    )
