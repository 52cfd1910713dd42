"""huey on SQLite."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huey import SqliteHuey  # type: ignore[import-not-found]  # installed in bench/.venv-peers

_file = Path(os.environ["BENCH_FOLDER"]) / "huey.sqlite3"
# Without fsync is synchronous=OFF, its other way being FULL: both survive the death of a process.
huey = SqliteHuey("bench", filename=str(_file), fsync=False, store_none=True)

WORKER = [
    *(sys.executable, "-m", "huey.bin.huey_consumer", "bench.peers.huey_sqlite.huey"),
    *("--workers", "2", "--worker-type", "process", "--no-periodic", "--quiet"),
    *("--delay", "0.001", "--max-delay", "0.001"),  # it polls the file; every 0.1 s, slowing to 10 s, by default
]


@huey.task()
def noop() -> None: ...


def prepare() -> None:
    huey.storage.close()
    for file in _file.parent.glob(f"{_file.name}*"):
        file.unlink()
    huey.storage.initialize_schema()


def publish(count: int) -> None:
    for _ in range(count):
        noop()


def finished() -> int:
    return int(huey.storage.result_store_size())


def call_and_wait() -> None:
    noop().get(blocking=True, timeout=10, backoff=1, max_delay=0.0005)
