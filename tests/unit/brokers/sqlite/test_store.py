from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.brokers.sqlite import schema
from celeriac.brokers.sqlite.schema import APPLICATION_ID
from celeriac.brokers.sqlite.store import Store
from celeriac.exceptions import BrokerUnavailable, EncodeError, ImproperlyConfigured
from tests.integration.project import wait_until

INSERT = "INSERT INTO owner (incarnation) VALUES (?)"
COUNT = "SELECT count(*) FROM owner"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "work.db"
    Store.close_at(tmp_path / "work.db")


@pytest.fixture
def store(path: Path) -> Store:
    return Store.at(path)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@contextlib.contextmanager
def side_lock_held(path: Path) -> Iterator[None]:
    """Hold the writers' lock as another process would: through an open file of its own."""
    descriptor = os.open(f"{path}-lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def database_locked(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def test_a_new_file_has_its_tables_and_says_whose_it_is(store: Store, path: Path):
    assert store.read("PRAGMA application_id") == [(schema.APPLICATION_ID,)]
    assert store.read("PRAGMA user_version") == [(schema.VERSION,)]
    assert store.read("PRAGMA journal_mode") == [("wal",)]
    assert store.read(COUNT) == [(0,)]


def test_a_process_has_one_store_for_a_file(store: Store, path: Path):
    assert Store.at(path) is store


def test_what_work_returns_is_returned_after_the_commit(store: Store, path: Path):
    number = store.write(lambda db: db.execute(INSERT, ("a",)).lastrowid, deadline_at=soon(), doing="testing")

    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT number FROM owner").fetchall() == [(number,)]


def test_work_that_raises_leaves_nothing_behind(store: Store):
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, ("a",))
        raise KeyError("midway")

    with pytest.raises(KeyError, match="midway"):
        store.write(work, deadline_at=soon(), doing="testing")

    assert store.read(COUNT) == [(0,)]
    store.write(lambda db: db.execute(INSERT, ("b",)), deadline_at=soon(), doing="testing")
    assert store.read(COUNT) == [(1,)]


def test_a_lock_of_another_writer_is_waited_for_until_the_deadline(store: Store, path: Path):
    began = time.monotonic()
    with side_lock_held(path), pytest.raises(BrokerUnavailable, match=r"work\.db was locked .* while testing"):
        store.write(lambda db: None, deadline_at=soon(0.1), doing="testing")

    assert time.monotonic() - began < 3.0
    store.write(lambda db: None, deadline_at=soon(), doing="testing")


def test_a_lock_of_a_program_that_knows_nothing_of_ours_is_waited_for_too(store: Store, path: Path):
    with database_locked(path), pytest.raises(BrokerUnavailable, match=r"work\.db was locked"):
        store.write(lambda db: db.execute(INSERT, ("a",)), deadline_at=soon(0.1), doing="testing")

    store.write(lambda db: db.execute(INSERT, ("b",)), deadline_at=soon(), doing="testing")
    assert store.read(COUNT) == [(1,)]


def test_a_single_statement_waits_likewise(store: Store, path: Path):
    with database_locked(path), pytest.raises(BrokerUnavailable, match=r"work\.db was locked"):
        store.execute(INSERT, ("a",), deadline_at=soon(0.1), doing="testing")

    store.execute(INSERT, ("b",), deadline_at=soon(), doing="testing")
    assert store.read(COUNT) == [(1,)]


def test_a_writer_that_will_not_wait_is_told_so_with_nothing_done(store: Store, path: Path):
    with side_lock_held(path):
        assert store.write_at_once(lambda db: db.execute(INSERT, ("a",)), doing="testing") is None

    assert store.write_at_once(lambda db: db.execute(INSERT, ("b",)).rowcount, doing="testing") == (1,)
    assert store.read(COUNT) == [(1,)]


@pytest.mark.parametrize("held", [side_lock_held, database_locked])
def test_a_single_statement_that_will_not_wait_is_told_so_with_nothing_done(store: Store, path: Path, held):
    with held(path):
        assert not store.execute_at_once(INSERT, ("a",), doing="testing")

    assert store.execute_at_once(INSERT, ("b",), doing="testing")
    assert store.read("SELECT incarnation FROM owner") == [("b",)]


def test_a_single_statement_that_fails_leaves_no_lock_behind(store: Store):
    with pytest.raises(EncodeError, match="cannot hold a value"):
        store.execute_at_once(INSERT, (None,), doing="testing")

    assert store.execute_at_once(INSERT, ("b",), doing="testing")


def test_a_reader_is_not_held_up_by_a_writer_that_waits(store: Store, path: Path):
    with side_lock_held(path):
        waiting = threading.Thread(target=lambda: store.write(lambda db: None, deadline_at=soon(), doing="testing"))
        waiting.start()
        counted = store.read(COUNT)
        still_waiting = waiting.is_alive()
    waiting.join(60)

    assert counted == [(0,)]
    assert still_waiting
    assert not waiting.is_alive()


def test_threads_write_side_by_side_and_lose_nothing(store: Store):
    def many() -> None:
        for _ in range(100):
            store.write(lambda db: db.execute(INSERT, ("a",)), deadline_at=soon(), doing="testing")

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert store.read(COUNT) == [(800,)]


@pytest.mark.parametrize("stat_every", [0.0, 0.05])
def test_a_file_that_was_replaced_is_opened_anew(store: Store, path: Path, monkeypatch, stat_every):
    """Also where it is looked at only now and then: the look that finds out must not pass for the one before."""
    monkeypatch.setattr("celeriac.brokers.sqlite.store._STAT_EVERY", stat_every)
    store.write(lambda db: db.execute(INSERT, ("a",)), deadline_at=soon(), doing="testing")
    for one in path.parent.glob("work.db*"):
        one.unlink()

    wait_until(lambda: Store.at(path) is not store, within=10)

    assert Store.at(path).read(COUNT) == [(0,)]


def test_a_fork_opens_its_own(store: Store, path: Path):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            other = Store.at(path)
            other.write(lambda db: db.execute(INSERT, ("child",)), deadline_at=soon(), doing="testing")
            os.write(write, b"another" if other is not store else b"the same")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    assert os.read(read, 100) == b"another"
    assert store.read("SELECT incarnation FROM owner") == [("child",)]
    store.write(lambda db: db.execute(INSERT, ("parent",)), deadline_at=soon(), doing="testing")
    os.close(read)
    os.close(write)


def test_a_fork_does_not_keep_the_lock_that_its_parent_died_with(store: Store, path: Path):
    """The parent is killed amid a transaction, right after it has forked a child that lives on."""
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:

        def work(connection: sqlite3.Connection) -> None:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            os.write(write, str(child).encode())
            os.kill(os.getpid(), signal.SIGKILL)

        Store.at(path).write(work, deadline_at=soon(), doing="testing")
        os._exit(1)
    os.waitpid(parent, 0)
    child = int(os.read(read, 100))

    try:
        store.write(lambda db: None, deadline_at=soon(5), doing="testing")
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(read)
        os.close(write)


def test_a_file_of_another_program_is_refused_and_left_as_it_is(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoice (id)")

    with pytest.raises(ImproperlyConfigured, match="another program"):
        Store.at(path)

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("invoice",)]
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("delete",)]


def test_a_file_of_a_newer_version_is_refused_with_what_to_do(path: Path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(ImproperlyConfigured, match=r"file version 99.*upgrade celeriac"):
        Store.at(path)


def test_a_log_that_has_grown_is_cut(store: Store, path: Path):
    wal = Path(f"{path}-wal")
    store.write(lambda db: db.execute(INSERT, ("x" * 40_000_000,)), deadline_at=soon(30), doing="testing")
    assert wal.stat().st_size > 32 * 1024 * 1024

    store.tidy(deadline_at=soon())

    assert wal.stat().st_size == 0


def test_disk_space_is_given_back_after_a_burst(store: Store, path: Path):
    store.write(
        lambda db: db.executemany(INSERT, [("x" * 4_000,) for _ in range(6_000)]), deadline_at=soon(30), doing="a test"
    )
    store.write(lambda db: db.execute("DELETE FROM owner"), deadline_at=soon(30), doing="testing")
    before = pages(store)

    for _ in range(4):
        store.tidy(deadline_at=soon())

    assert pages(store) < before


def pages(store: Store) -> int:
    return int(str(store.read("PRAGMA page_count")[0][0]))
