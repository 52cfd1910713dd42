"""What `celeriac doctor` looks at. Each check returns findings; those with a problem say the cure, too."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from celeriac import __version__
from celeriac.app.config import Settings
from celeriac.backends.base import ResultBackend
from celeriac.backends.sqlite import SqliteBackend
from celeriac.brokers.base import Broker, Checkup, Incarnation
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.brokers.sqlite.broker import SqliteBroker
from celeriac.brokers.sqlite.place import OLDEST_SQLITE, file_system_of
from celeriac.exceptions import CeleriacError, ImproperlyConfigured
from celeriac.masking import masked_url

OPEN_TIMEOUT: Final = 3.0
"""Seconds in which a broker or result backend must answer."""

LEAST_FREE_BYTES: Final = 256 * 1024 * 1024
"""With less room than this on its disk, a file is about to be full."""

LARGEST_WAL_BYTES: Final = 256 * 1024 * 1024
"""Four times the size to which the log is cut; something keeps it from being emptied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Say what was found about one subject, and what is wrong with it and how to cure it, or None."""

    subject: str
    found: str
    problem: str | None = None


def installation() -> Iterator[Finding]:
    """Look at the programs that celeriac stands on."""
    yield Finding(subject="celeriac", found=f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding(subject="python", found=f"{platform.python_version()} at {sys.executable}")
    yield Finding(subject="platform", found=platform.platform())
    fast = find_spec("uvloop") is not None
    yield Finding(
        subject="event loop", found="uvloop" if fast else 'asyncio; faster with: pip install "celeriac[fast]"'
    )
    old = sqlite3.sqlite_version_info < OLDEST_SQLITE
    needed = ".".join(map(str, OLDEST_SQLITE[:2]))
    cure = f"celeriac needs SQLite {needed} or newer: use a newer Python, or set another broker_url"
    yield Finding(subject="sqlite", found=sqlite3.sqlite_version, problem=cure if old else None)


def settings(conf: Settings) -> Iterator[Finding]:
    """List the settings that are not at their defaults, and where they come from."""
    try:
        changed = conf.table()
    except ImproperlyConfigured as error:
        yield Finding(subject="settings", found="cannot be read", problem=str(error))
        return
    for name, value in sorted(changed.items()):
        setting = conf.setting(name)
        if conf[name] != setting.default:
            unused = "" if setting.effective else ", without effect in this version"
            yield Finding(subject="setting", found=f"{name} = {value!r} ({conf.origin_of(name)}){unused}")


def broker(broker: Broker) -> Iterator[Finding]:
    """Look at the broker, what lies below it, and what it holds."""
    yield Finding(subject="broker", found=masked_url(broker.url))
    if isinstance(broker, SqliteBroker):
        yield from _place(broker.path)
        if not broker.path.exists():
            return
    try:
        broker.open(deadline_at=time.monotonic() + OPEN_TIMEOUT)
        if isinstance(broker, SqliteBroker):
            yield from _contents(broker)
        for checkup in (broker.check_up(), *broker.examine()):
            yield from _set_up(checkup)
        yield from _nodes(broker)
        yield _load(broker)
    except CeleriacError as error:
        yield Finding(subject="broker", found="cannot be used", problem=str(error))


def _place(path: Path) -> Iterator[Finding]:
    """Look at a database file from outside."""
    folder = path.parent
    if path.exists():
        status = path.stat()
        mode = status.st_mode & 0o777
        loose = f"others may read or write its messages; if they should not: chmod 600 {path}" if mode & 0o077 else None
        found = f"{path}, mode {mode:04o}, owner {status.st_uid}, {status.st_size:,} bytes"
        yield Finding(subject="file", found=found, problem=loose)
    elif os.access(folder, os.W_OK):
        yield Finding(subject="file", found=f"{path} is not there yet; the first use makes it")
    else:
        cure = f"create the folder, or make it writable: {folder}"
        yield Finding(subject="file", found=f"{path} cannot be made", problem=cure)
        return
    yield _disk(folder)
    yield _log(path)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    kind = file_system_of(folder) or "unknown"
    cure = f"make room on the disk of {folder}: when it is full, nothing can be published"
    found = f"file system {kind}, {free:,} bytes free"
    return Finding(subject="disk", found=found, problem=cure if free < LEAST_FREE_BYTES else None)


def _log(path: Path) -> Finding:
    wal = Path(f"{path}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    cure = f"a program reads the database without an end; `fuser {path}` names those that have it open"
    large = size > LARGEST_WAL_BYTES
    return Finding(subject="write-ahead log", found=f"{size:,} bytes", problem=cure if large else None)


def _contents(broker: SqliteBroker) -> Iterator[Finding]:
    """Look at a database file from inside."""
    store = broker.store()
    ((journal,),) = store.read("PRAGMA journal_mode")
    cure = f"it must be wal; move {broker.path} to a local disk"
    yield Finding(subject="journal mode", found=str(journal), problem=None if journal == "wal" else cure)
    complaints = [str(row[0]) for row in store.read("PRAGMA quick_check(5)")]
    damage = (
        None if complaints == ["ok"] else f"the file is damaged; save what there is: sqlite3 {broker.path} .recover"
    )
    yield Finding(subject="integrity", found="; ".join(complaints), problem=damage)


def _set_up(checkup: Checkup | None) -> Iterator[Finding]:
    """Tell how a store is set up, and what about it should be otherwise."""
    if checkup is None:
        return
    yield Finding(subject=checkup.subject, found=checkup.described)
    for concern in checkup.concerns:
        yield Finding(subject=checkup.subject, found=concern.found, problem=concern.cure)


def _nodes(broker: Broker) -> Iterator[Finding]:
    nodes = broker.owners()
    for node in nodes:
        yield Finding(subject="node", found=f"{node.node}, pid {node.pid} on {node.host}")
    if not nodes:
        yield Finding(subject="node", found="none is running")


def _load(broker: Broker) -> Finding:
    depths = broker.depths()
    sums = {kind: sum(getattr(depth, kind) for depth in depths) for kind in ("ready", "delayed", "claimed", "dead")}
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sums.items())
    joins = sum(depth.ready for depth in depths if depth.queue == JOINS_QUEUE)
    told = f"; of these {joins:,} in {JOINS_QUEUE}: chords whose bodies a node is to send" if joins else ""
    return Finding(subject="queues", found=f"{len(depths)} with messages: {counts}{told}")


def backend(backend: ResultBackend | None, broker: Broker) -> Iterator[Finding]:
    """Look at the result backend; what it shares with the broker has been looked at."""
    subject = "result backend"
    if backend is None:
        yield Finding(subject=subject, found="none: results are not kept")
        return
    where = masked_url(backend.url)
    if isinstance(backend, SqliteBackend) and not backend.path.exists():
        yield Finding(subject=subject, found=f"{where} is not there yet; the first use makes it")
        return
    try:
        backend.get_many(["celeriac-doctor"])
        yield Finding(subject=subject, found=where)
        if not broker.consumer(Incarnation.begin("doctor")).shares_store_with(backend):
            yield from _set_up(backend.check_up())
    except CeleriacError as error:
        yield Finding(subject=subject, found=f"{where} cannot be used", problem=str(error))
