"""The tables of a celeriac file, and its version.

`message.owner` is the fencing token of a claim: the number of its owner, times 2**32, plus the number of the claim. A
node that lost its lease takes a new number, never the old one. A claimed message keeps its row, so it keeps its place
when it is released.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from celeriac.exceptions import ImproperlyConfigured

APPLICATION_ID: Final = 0x63_65_6C_72  # "celr"; `file` and others show whose database it is
VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY,          -- no AUTOINCREMENT: it costs a quarter of single inserts
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    owner INTEGER,                   -- fencing token of the claim; NULL: nobody has claimed it
    eta REAL,                        -- NULL: may be claimed now
    crashes INTEGER NOT NULL DEFAULT 0,
    node_losses INTEGER NOT NULL DEFAULT 0,
    releases INTEGER NOT NULL DEFAULT 0,
    held_before INTEGER NOT NULL DEFAULT 0,
    task_id TEXT NOT NULL,
    content_type TEXT,               -- NULL: application/json
    content_encoding TEXT,           -- NULL: utf-8
    headers BLOB NOT NULL,           -- wide columns last
    properties BLOB,
    body BLOB NOT NULL,
    booking REAL                     -- start under a rate limit: < 0 in its line, > 0 at its gate; NULL: none
);
CREATE INDEX message_ready   ON message(queue, priority, id) WHERE owner IS NULL AND eta IS NULL;
CREATE INDEX message_owned   ON message(owner)               WHERE owner IS NOT NULL;
CREATE INDEX message_delayed ON message(eta)                 WHERE eta IS NOT NULL AND owner IS NULL;

CREATE TABLE owner (
    number INTEGER PRIMARY KEY AUTOINCREMENT,   -- here a number is never used twice
    incarnation TEXT NOT NULL,                  -- JSON of celeriac.brokers.base.Incarnation
    beat INTEGER NOT NULL DEFAULT 0             -- a counter that the owner raises, not a time
);

CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    retries INTEGER NOT NULL,
    expires_at REAL,                 -- NULL: never
    record BLOB NOT NULL
);
-- 0.7 µs per result. Without it the oldest rows had to be walked, where those that live longer stand in the way.
CREATE INDEX result_expiring ON result(expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE dead_letter (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    died_at REAL NOT NULL,
    reason TEXT NOT NULL,
    priority INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    content_type TEXT,
    content_encoding TEXT,
    headers BLOB NOT NULL,
    properties BLOB,
    body BLOB NOT NULL
);
CREATE INDEX dead_letter_queue ON dead_letter(queue, number);
CREATE INDEX dead_letter_age   ON dead_letter(died_at);
"""

# What files of earlier programs lack. Those read and write it well enough: nothing in their statements goes by it.
_LATER_TABLES: Final = """
CREATE TABLE IF NOT EXISTS unique_key (
    key TEXT PRIMARY KEY,
    task_id TEXT NOT NULL,           -- the run that has it
    until REAL NOT NULL              -- when it ends by itself
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unique_key_run ON unique_key(task_id);
CREATE INDEX IF NOT EXISTS unique_key_age ON unique_key(until);

CREATE TABLE IF NOT EXISTS replaced (
    task_id TEXT PRIMARY KEY,
    by TEXT NOT NULL,                -- the run that has the key in its place
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replaced_age ON replaced(until);

CREATE TABLE IF NOT EXISTS inside (               -- runs that count against a concurrency limit, while the claim stands
    key TEXT NOT NULL,
    message INTEGER NOT NULL,
    owner INTEGER NOT NULL,          -- fencing token of the claim
    PRIMARY KEY (key, message)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS aside (                -- messages that wait for room: delayed until the year 9999
    message INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    called INTEGER NOT NULL DEFAULT 0    -- 1: there is place for it now, and the message may be claimed
);
CREATE INDEX IF NOT EXISTS aside_key ON aside(key, called, message);

CREATE TABLE IF NOT EXISTS flow (
    key TEXT PRIMARY KEY,            -- what is limited
    line_at REAL NOT NULL,           -- see celeriac.brokers.rates.Flow
    gate_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS revoked (
    version INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: nodes compare it
    task_id TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    expires_at REAL NOT NULL,
    said TEXT NOT NULL               -- see celeriac.brokers.revocations.said_by
);
CREATE INDEX IF NOT EXISTS revoked_age ON revoked(expires_at);

CREATE TABLE IF NOT EXISTS joining (              -- see celeriac.backends.joins.KeptJoin
    group_id TEXT PRIMARY KEY,
    size INTEGER,                    -- NULL: nobody has started it
    added INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    state INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    is_left INTEGER NOT NULL DEFAULT 0,  -- 1: it is done, and some of its members are still there
    header BLOB,
    message BLOB                     -- msgpack of celeriac.message.Message
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joining_age  ON joining(expires_at);
CREATE INDEX IF NOT EXISTS joining_left ON joining(group_id) WHERE is_left;

CREATE TABLE IF NOT EXISTS join_member (
    group_id TEXT NOT NULL,
    place INTEGER NOT NULL,          -- in the header; the largest number there is: none
    task_id TEXT NOT NULL,
    state TEXT NOT NULL,
    item BLOB NOT NULL,
    PRIMARY KEY (group_id, place, task_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS join_addition (
    group_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (group_id, place, task_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS binding (              -- what leads from exchanges to queues; see brokers/topology.py
    exchange TEXT NOT NULL,
    kind TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    queue TEXT NOT NULL,
    arguments TEXT NOT NULL,         -- JSON
    owner INTEGER,                   -- number of the node that the queue ends with; NULL: none
    PRIMARY KEY (exchange, kind, routing_key, queue, arguments)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS binding_queue ON binding(queue);
"""
_LAST_OF_RELEASES: Final = ("inside", "revoked", "join_addition", "binding")
"""A table of each release that has added some: when all of them are there, nothing is missing."""

_MARKS: Final = ", ".join(f"'{name}'" for name in _LAST_OF_RELEASES)
_HAS_LATER: Final = f"SELECT count(*) = {len(_LAST_OF_RELEASES)} FROM sqlite_master WHERE name IN ({_MARKS})"
_HAS_BOOKING: Final = "SELECT count(*) FROM pragma_table_info('message') WHERE name = 'booking'"
_ADD_BOOKING: Final = "ALTER TABLE message ADD COLUMN booking REAL;"


def ensure(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in an empty file; refuse a file that is not ours or newer than this program.

    Called under the write lock, outside a transaction.
    """
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    ours = connection.execute("PRAGMA application_id").fetchall()[0][0] == APPLICATION_ID
    if ours and version == VERSION:
        _complete(connection)
        return
    if not ours and connection.execute("SELECT count(*) FROM sqlite_master").fetchall()[0][0]:
        raise ImproperlyConfigured(f"{path} is a database of another program; name a file of its own for celeriac")
    if version > VERSION:
        raise ImproperlyConfigured(
            f"{path} was written by a newer celeriac (file version {version}, this program knows {VERSION}); "
            "upgrade celeriac here"
        )
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} {_LATER_TABLES} "
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def _complete(connection: sqlite3.Connection) -> None:
    """Add what a file of an earlier program lacks."""
    if connection.execute(_HAS_LATER).fetchall()[0][0]:
        return
    column = "" if connection.execute(_HAS_BOOKING).fetchall()[0][0] else _ADD_BOOKING
    connection.executescript(f"BEGIN IMMEDIATE; {column} {_LATER_TABLES} COMMIT;")
