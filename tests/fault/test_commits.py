"""Processes that die amid commits, or write all at once: the file stays whole and nobody sees its locks."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fault.store_users import FOLLOW_UP
from tests.size import scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial]

ROOT = Path(__file__).parents[2]
KILLS = scaled(500)
PROCESSES = 8
MESSAGES = scaled(2_500)
SEED = 500


def use(*args: object) -> None:
    command = [sys.executable, "-m", "tests.fault.store_users", *map(str, args)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as users:
        try:
            _, said = users.communicate(timeout=500)
        except subprocess.TimeoutExpired:
            os.killpg(users.pid, signal.SIGKILL)  # what it has forked would go on
            raise
    assert users.returncode == 0, said[-4_000:]
    assert said == ""


def select(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def ids(path: Path, table: str) -> list[str]:
    return [task_id for (task_id,) in select(path, f"SELECT task_id FROM {table}")]


@pytest.mark.timeout(600)
def test_kills_during_commits_damage_nothing_and_lose_nothing_acknowledged(tmp_path: Path, tell):
    database, log = tmp_path / "work.db", tmp_path / "acknowledged"

    use("killed", database, log, KILLS, SEED)

    acknowledged = log.read_text().split()
    waiting, settled = ids(database, "message"), set(ids(database, "result"))
    tell(f"{KILLS} kills, {len(acknowledged)} messages acknowledged, {len(settled)} runs settled")
    assert select(database, "PRAGMA integrity_check") == [("ok",)]
    assert len(acknowledged) >= KILLS, "every other one has published two at least"
    assert len(settled) >= KILLS // 2, "and settled one"
    assert len(waiting) == len(set(waiting)), "none is there twice"
    assert settled.isdisjoint(waiting), "none is done and waits as well"
    assert set(acknowledged) <= settled.union(waiting), "none is lost"
    first = {task_id for task_id in settled if not task_id.endswith(FOLLOW_UP)}
    following = {task_id for task_id in settled.union(waiting) if task_id.endswith(FOLLOW_UP)}
    assert following == {task_id + FOLLOW_UP for task_id in first}, "what follows a run was published with it"


@pytest.mark.timeout(600)
def test_eight_processes_that_enqueue_and_claim_at_once_see_no_lock(tmp_path: Path, tell):
    database = tmp_path / "work.db"

    use("crowd", database, PROCESSES, MESSAGES)

    settled = ids(database, "result")
    tell(f"{PROCESSES} processes, {len(settled)} runs, no error")
    assert len(settled) == len(set(settled)) == 2 * PROCESSES * MESSAGES
    assert select(database, "SELECT * FROM message") == []
    assert select(database, "SELECT * FROM owner") == []
    assert select(database, "PRAGMA integrity_check") == [("ok",)]
