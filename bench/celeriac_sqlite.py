"""celeriac on SQLite: messages and results in one file. The worker imports this module as its app."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import celeriac
from bench.ours import Ours
from celeriac import Celery

_file = Path(os.environ["BENCH_FOLDER"]) / "celeriac.sqlite3"
_synchronous = os.environ.get("BENCH_SYNCHRONOUS", "NORMAL")
app = Celery("bench", broker=f"sqlite:///{_file}?synchronous={_synchronous}")

ours = Ours(app, "bench.celeriac_sqlite")
canvas, inc, count = celeriac, ours.inc, ours.count
WORKER, publish, call_and_wait = ours.worker, ours.publish, ours.call_and_wait


def prepare() -> None:
    for file in _file.parent.glob(f"{_file.name}*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def finished() -> int:
    # Every result is a new row here, so the last id is their number; counting them would read the whole index.
    with closing(sqlite3.connect(f"file:{_file}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM result").fetchone()[0])
