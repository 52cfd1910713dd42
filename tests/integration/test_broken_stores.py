"""A database that cannot be used: an error that names the file and the cure, and a node that outlives it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac import Celery
from celeriac.brokers.sqlite.schema import APPLICATION_ID
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured
from tests.integration.project import Project, wait_until
from tests.size import late_after

pytestmark = [pytest.mark.engines("sqlite"), pytest.mark.waits]

DEADLINE = 3.0
"""`task_publish_timeout`."""

unprivileged = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a write transaction open on a database, as a careless program would."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


# -- locked -------------------------------------------------------------------------------------------------------


def test_a_call_on_a_locked_database_fails_within_its_deadline_and_names_the_file(project: Project):
    project.call("add", 1, 2)

    with locked(project.sqlite.path):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match=r"work\.db was locked") as raised:
            project.call("add", 1, 2)
        took = time.monotonic() - began

    assert took < late_after(DEADLINE)
    assert not raised.value.maybe_published
    assert project.sqlite.select("SELECT count(*) FROM message") == [(1,)]


def test_a_node_outlives_a_lock_and_loses_nothing_by_it(project: Project):
    node = project.start()
    pids = {process.pid for process in node.members()}
    before = [project.call("gated", f"before-{number}", "gate") for number in range(2)]
    for number in range(2):
        project.wait_begun(f"before-{number}")

    with locked(project.sqlite.path):
        project.open_gate("gate")
        wait_until(lambda: sum(words[0] == "ended" for words in project.notes) == 2)
        node.wait_for_log("cannot settle")

    for call in before:
        call.get(timeout=60)
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert set(project.runs().values()) == {1}
    assert {process.pid for process in node.members()} == pids
    assert node.stop() == 0
    project.assert_clean()


def test_a_lock_of_ten_seconds_makes_no_node_call_another_dead(project: Project):
    """Counters stand still for everybody then; who cannot write cannot judge those who cannot either."""
    nodes = [project.start(name=f"w{number}", concurrency=1) for number in range(2)]
    calls = [project.call("gated", f"run-{number}", "gate") for number in range(2)]
    for number in range(2):
        project.wait_begun(f"run-{number}")

    with locked(project.sqlite.path):
        until = time.monotonic() + 11.0
        wait_until(lambda: time.monotonic() > until)
    enough = project.store.beats() + 4
    wait_until(lambda: project.store.beats() >= enough or any("declared dead" in node.log for node in nodes))
    project.open_gate("gate")

    for call in calls:
        call.get(timeout=60)
    assert set(project.runs().values()) == {1}
    for node in nodes:
        assert "declared dead" not in node.log, node.log_end
        assert node.process.poll() is None


def test_a_reader_that_never_ends_holds_nobody_up(project: Project):
    project.start()
    project.call("add", 1, 2).get(timeout=60)
    connection = sqlite3.connect(project.sqlite.path)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM message").fetchall()

    try:
        for number in range(50):
            assert project.call("add", number, 2).get(timeout=60) == number + 2
    finally:
        connection.close()


# -- deleted ------------------------------------------------------------------------------------------------------


def test_a_node_whose_database_is_deleted_begins_from_zero(project: Project):
    node = project.start()
    project.call("add", 1, 2).get(timeout=60)
    pids = {process.pid for process in node.members()}

    for path in project.folder.glob("work.db*"):
        if path.is_file():
            path.unlink()
    project.app.close()

    assert project.call("add", 2, 3).get(timeout=60) == 5
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert node.stop() == 0, node.log_end


# -- unusable from the beginning ----------------------------------------------------------------------------------


def run_worker(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Start a worker that cannot start."""
    command = [sys.executable, "-m", "celeriac", "-A", "tasks", "-b", url, "worker", "-q"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def corrupt(folder: Path) -> tuple[Path, str]:
    path = folder / "bad.db"
    path.write_bytes(b"this is no database, whatever its name says\n" * 100)
    return path, "damaged or no SQLite database"


def foreign(folder: Path) -> tuple[Path, str]:
    path = folder / "bad.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoice (id INTEGER)")
    return path, "another program"


def newer(folder: Path) -> tuple[Path, str]:
    path = folder / "bad.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE message (id INTEGER)")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 99")
    return path, "upgrade celeriac"


def a_folder(folder: Path) -> tuple[Path, str]:
    path = folder / "bad.db"
    path.mkdir()
    return path, "is a folder"


def in_no_folder(folder: Path) -> tuple[Path, str]:
    return folder / "nowhere" / "bad.db", "mkdir -p"


def below_a_file(folder: Path) -> tuple[Path, str]:
    (folder / "file").touch()
    return folder / "file" / "bad.db", "does not exist"


def read_only(folder: Path) -> tuple[Path, str]:
    path = folder / "bad.db"
    path.touch()
    path.chmod(0o400)
    return path, "chown"


def in_a_read_only_folder(folder: Path) -> tuple[Path, str]:
    (folder / "closed").mkdir(mode=0o500)
    return folder / "closed" / "bad.db", "writable"


BROKEN = [
    corrupt,
    foreign,
    newer,
    a_folder,
    in_no_folder,
    below_a_file,
    pytest.param(read_only, marks=unprivileged),
    pytest.param(in_a_read_only_folder, marks=unprivileged),
]


@pytest.mark.parametrize("make", BROKEN)
def test_a_call_says_what_is_wrong_with_the_file_and_what_to_do(tmp_path: Path, make):
    path, cure = make(tmp_path)

    app = Celery("shop", broker=f"sqlite:///{path}", set_as_current=False)
    with app, pytest.raises((BrokerUnavailable, ImproperlyConfigured)) as raised:
        app.send_task("shop.pay")

    assert str(path.name) in str(raised.value)
    assert str(path.parent) in str(raised.value)
    assert cure in str(raised.value)


@pytest.mark.parametrize("make", BROKEN)
def test_a_worker_says_what_is_wrong_with_the_file_and_ends(project: Project, make):
    path, cure = make(project.folder)

    ended = run_worker(project.folder, f"sqlite:///{path}")

    assert ended.returncode in {2, 69}, ended.stderr
    assert cure in ended.stderr
    assert str(path.parent) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count(cure) == 1, "said once, not by each process of the node"


def test_an_app_that_cannot_be_imported_is_told_once(project: Project):
    project.use("import a_module_that_is_not_there\n")

    ended = run_worker(project.folder, "sqlite:///work.db")

    assert ended.returncode != 0
    assert "a_module_that_is_not_there" in ended.stderr
    assert ended.stderr.count("No module named") <= 2
