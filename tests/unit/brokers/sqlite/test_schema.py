"""Files that earlier programs made, and earlier programs on files of today."""

from __future__ import annotations

import sqlite3
import time

import msgspec
import pytest

from celeriac.brokers.base import Booking, Conflict, Incarnation, Room
from celeriac.brokers.revocations import Revocation
from celeriac.brokers.sqlite import SqliteBroker, schema
from celeriac.brokers.sqlite.store import Store
from celeriac.message import Unique
from celeriac.testing.brokers import publish
from celeriac.testing.worlds import Node, a_message, task_ids

LATER = ("unique_key", "replaced", "inside", "aside", "flow", "revoked")


@pytest.fixture
def earlier(tmp_path):
    """A file as it was before there were unique keys and limits, with a message in it."""
    path = tmp_path / "work.db"
    publish(SqliteBroker(path), a_message("old"))
    Store.close_at(path)
    with sqlite3.connect(path) as connection:
        for table in LATER:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE message DROP COLUMN booking")
    connection.close()
    return path


def test_a_file_of_an_earlier_program_is_completed(earlier):
    broker = SqliteBroker(earlier)
    unique = Unique(key="k", lasts=60.0)

    publish(broker, a_message("first", unique=unique))

    assert list(publish(broker, a_message("second", unique=unique))) == [Conflict(0, "k", "first")]
    node = Node(broker.consumer(Incarnation.begin("w1@host")))
    try:
        node.open()
        old, first = node.claim()
        node.release(msgspec.structs.replace(old, booking=Booking(time.time() - 1, False)))
        assert [one.booking is not None for one in node.claim()] == [True]
        assert node.enter((first, Room("k", 1))) == [True]
        node.close()
    finally:
        node.stop()


def test_a_file_of_the_program_before_revocations_is_completed(tmp_path):
    path = tmp_path / "work.db"
    publish(SqliteBroker(path), a_message("old"))
    Store.close_at(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE revoked")
    connection.close()

    broker = SqliteBroker(path)
    now = time.time()
    broker.revoke([Revocation(task_id="old", at=now, expires_at=now + 60)], deadline_at=time.monotonic() + 5)

    assert [one.task_id for one in broker.revocations().revocations] == ["old"]
    assert [depth.ready for depth in broker.depths()] == [1]


def test_completing_a_file_loses_nothing_and_happens_once(earlier):
    for _ in range(2):
        broker = SqliteBroker(earlier)
        node = Node(broker.consumer(Incarnation.begin("w1@host")))
        try:
            node.open()
            assert task_ids(node.claim()) == ["old"]
            node.close()
        finally:
            node.stop()
        Store.close_at(earlier)


def test_the_statements_of_earlier_programs_fit_a_file_of_today(tmp_path):
    publish(SqliteBroker(tmp_path / "work.db"))
    Store.at(tmp_path / "work.db")

    with sqlite3.connect(tmp_path / "work.db") as connection:
        connection.execute(
            "INSERT INTO message (queue, priority, task_id, headers, body) VALUES ('q', 0, 'id', x'7b7d', x'5b5d')"
        )
        version = connection.execute("PRAGMA user_version").fetchone()
    connection.close()

    assert version == (schema.VERSION,)
    assert [depth.ready for depth in SqliteBroker(tmp_path / "work.db").depths()] == [1]
