"""The two sides: stock Celery in an environment of its own, and celeriac as it is here; both run the same programs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from bench.redis_server import redis_server
from tests.differential.comparing import disagreements, program_names
from tests.stock_celery import STOCK_CELERY

_HERE: Final = Path(__file__).resolve().parent
PROGRAMS: Final = _HERE / "programs"

_CANVASES: Final = "live_canvas."
_SIDE_SECONDS: Final = 480.0
_CELERY_ASKED: Final = 3  # times at most: on a busy machine it loses a run now and then
_WORKER: Final = ("-A", "shop", "worker", "-n", "w1@shop", "-c", "4")
_CELERY_WORKER: Final = """
from celery.__main__ import main
from kombu.transport.sqlalchemy import Transport
Transport.polling_interval = 0.02  # else every message waits for up to a second
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is particular to one side.

    Attributes:
        package: the name in place of `celeriac`.
        python: its interpreter.
        memory_results: URL of results that are kept in the process.
        broker: URL for the live programs, with `{folder}` in it, or the `{port}` of a Redis server.
        results: the same for their results.
        settings: what the app of the live programs needs to run fast here.
        worker: what starts their worker, after the name of the interpreter.
        imported_once: modules that would else be imported by each program for itself.
        databases: SQLite files to be created with a write-ahead log, which is far faster.
    """

    package: str
    python: Path
    memory_results: str
    broker: str
    results: str
    settings: Mapping[str, Any]
    worker: Sequence[str]
    imported_once: Sequence[str]
    databases: Sequence[str] = ()


@cache
def installing() -> Future[Path]:
    """Begin to install Celery, if need be; what is returned is the interpreter that has it, or `PeersMissing`."""
    return ThreadPoolExecutor(1).submit(STOCK_CELERY.interpreter)


def celery_side() -> Side:
    """Return Celery's side, once Celery is installed.

    Raises:
        PeersMissing: it cannot be installed.
    """
    return Side(
        package="celery",
        python=installing().result(),
        memory_results="cache+memory://",
        broker="sqla+sqlite:///{folder}/queue.db",
        results="db+sqlite:///{folder}/results.db",
        settings={
            "broker_transport_options": {"connect_args": {"timeout": 20}},  # 5 s are not enough on a busy machine
            "worker_timer_precision": 0.02,
            "worker_lost_wait": 1.0,
        },
        worker=[
            *("-c", _CELERY_WORKER, *_WORKER, "-l", "INFO"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        imported_once=[
            *(
                "celery.app.amqp",
                "celery.app.trace",
                "celery.backends.cache",
                "celery.backends.database",
                "celery.canvas",
            ),
            *("kombu.transport.memory", "kombu.transport.sqlalchemy", "sqlalchemy.dialects.sqlite", "msgpack", "yaml"),
        ],
        databases=["queue.db", "results.db"],
    )


def celery_on_redis() -> Side:
    """Return Celery's side for canvases: on databases it finds out by polling, once a second, that a chord is complete.

    Raises:
        PeersMissing: Celery cannot be installed.
    """
    return replace(
        celery_side(),
        broker="redis://127.0.0.1:{port}/0",
        results="redis://127.0.0.1:{port}/1",
        settings={},
        worker=["-m", "celery", *_WORKER, "-l", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"],
        imported_once=["celery.backends.redis", "celery.canvas", "kombu.transport.redis"],
        databases=(),
    )


def our_side() -> Side:
    """Return celeriac's side."""
    return Side(
        package="celeriac",
        python=Path(sys.executable),
        memory_results="memory://",
        broker="sqlite:///{folder}/work.db",
        results="sqlite:///{folder}/work.db",
        settings={},
        worker=["-m", "celeriac", *_WORKER],
        imported_once=["celeriac.brokers.memory", "celeriac.brokers.sqlite", "celeriac.backends.sqlite"],
    )


def run_side(side: Side, folder: Path, names: Sequence[str] = ()) -> dict[str, Any]:
    """Run the programs on one side; return their answers by name, and tracebacks of modules that were not imported.

    Args:
        side: which.
        folder: an empty one for its files.
        names: of the programs to run; all when there are none.

    Raises:
        RedisMissing: it needs a server, and there is none to be had.
    """
    copy_programs(folder, side.package)
    for name in side.databases:
        with contextlib.closing(sqlite3.connect(folder / name)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    needs_redis = "{port}" in side.broker
    with redis_server(folder) if needs_redis else contextlib.nullcontext(0) as port:
        return _answers_of(side, folder, names, str(port))


def _answers_of(side: Side, folder: Path, names: Sequence[str], port: str) -> dict[str, Any]:
    def placed(text: str) -> str:
        return text.replace("{folder}", str(folder)).replace("{port}", port)

    answers = folder / "answers.json"
    variables = {
        "DIFFERENTIAL_MEMORY_RESULTS": side.memory_results,
        "DIFFERENTIAL_BROKER": placed(side.broker),
        "DIFFERENTIAL_RESULTS": placed(side.results),
        "DIFFERENTIAL_SETTINGS": placed(json.dumps(side.settings)),
        "DIFFERENTIAL_WORKER": json.dumps(side.worker),
        "DIFFERENTIAL_IMPORTED_ONCE": json.dumps(side.imported_once),
        "C_FORCE_ROOT": "1",
        "PYTHONWARNINGS": "ignore",
        "TZ": "UTC",
    }
    command = [str(side.python), str(_HERE / "side.py"), str(folder), str(answers), *names]
    log = folder / "side.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=file, stderr=file, start_new_session=True
        )
        try:
            process.wait(_SIDE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what is left of it: its worker, for one
                os.killpg(process.pid, signal.SIGKILL)
    if process.wait() != 0:
        raise RuntimeError(f"{side.package}'s side failed ({process.returncode}):\n{log.read_text()}")
    found: dict[str, Any] = json.loads(answers.read_text())
    return found


def run_both(folder: Path, rows: set[str], names: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the programs on both sides at the same time; return Celery's answers and ours.

    Where the two disagree, Celery is asked again, for it may have lost a message or a run; we are asked once.

    Args:
        folder: an empty one for the files of both.
        rows: what differs on purpose (`comparing.rows_of`).
        names: of the programs to run; all when there are none.

    Raises:
        PeersMissing, RedisMissing: there is no Celery, or no server for its canvases.
    """
    names = names or program_names(PROGRAMS)
    folders = [folder / name for name in ("celery", "celeriac")]
    for one in folders:
        one.mkdir()
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(run_celery, folders[0], names)
        ours = threads.submit(run_side, our_side(), folders[1], names).result()
        celery = asked.result()
    for again in range(2, _CELERY_ASKED + 1):
        doubtful = [
            name
            for name, answer in celery["programs"].items()
            if name in ours["programs"] and any(disagreements(name, answer, ours["programs"][name], rows))
        ]
        if not doubtful:
            break
        place = folder / f"celery-{again}"
        place.mkdir()
        celery["programs"] |= run_celery(place, doubtful)["programs"]
    return celery, ours


def run_celery(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Run programs on Celery's side, one part after the other: those of canvases on Redis."""
    found: dict[str, Any] = {"programs": {}, "broken": {}}
    canvases = [name for name in names if name.startswith(_CANVASES)]
    others = [name for name in names if not name.startswith(_CANVASES)]
    for kept, side, part in (("canvases", celery_on_redis(), canvases), ("others", celery_side(), others)):
        if part:
            place = folder / kept
            place.mkdir()
            for kind, answers in run_side(side, place, part).items():
                found[kind] |= answers
    return found


def copy_programs(folder: Path, package: str) -> None:
    """Copy the programs, with the word `celeriac` replaced by the name of that package."""
    for path in PROGRAMS.glob("*.py"):
        (folder / path.name).write_text(re.sub(r"\bceleriac\b", package, path.read_text()))
