"""Where a database file may lie, and a clear word when it may not.

SQLite in WAL mode shares memory between the processes that have a file open, so the file has to be on a disk of this
machine. Files are for their owner alone (0600): messages carry other people's data.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from celeriac.exceptions import BrokerFull, BrokerUnavailable, EncodeError, ImproperlyConfigured

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first SQLite that knows RETURNING."""

NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "glusterfs", "lustre", "afs", "gpfs", "beegfs"}
    | {"ncpfs", "ocfs2", "gfs2", "prl_fs", "vboxsf"}
)
"""Types in /proc/self/mountinfo whose files other kernels may change; every ``fuse.*`` counts as well."""


def prepare(path: Path) -> None:
    """Make sure that `path` can hold a database, and create it empty (0600) when it is not there.

    Raises:
        ImproperlyConfigured: SQLite is too old, or the file system is shared over a network.
        BrokerUnavailable: the file or its folder cannot be written.
    """
    _check_sqlite(sqlite3.sqlite_version_info)
    kind = file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse"):
        raise ImproperlyConfigured(
            f"{path} is on a network file system ({kind}), where SQLite loses data; "
            "choose a folder on a local disk, or a broker with a server such as redis://"
        )
    folder = path.parent
    if not folder.is_dir():
        raise BrokerUnavailable(
            f"the folder {folder} of database {path.name} does not exist; create it: mkdir -p {folder}"
        )
    if path.is_dir():
        raise BrokerUnavailable(f"{path} is a folder; name a file in it, such as sqlite:///{path}/celeriac.sqlite3")
    if path.exists():
        _check_access(path)
    else:
        _create(path)


def _check_sqlite(version: tuple[int, int, int]) -> None:
    if version < OLDEST_SQLITE:
        raise ImproperlyConfigured(
            f"this Python has SQLite {'.'.join(map(str, version))}; celeriac needs 3.35 or newer: "
            "use a newer Python, or another broker_url"
        )


def _check_access(path: Path) -> None:
    owner = path.stat().st_uid
    if os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK):
        return
    whose = "this user's" if owner == os.geteuid() else f"user {owner}'s"
    raise BrokerUnavailable(
        f"{path} is {whose} file and cannot be written by user {os.geteuid()}, or its folder cannot; "
        f"run as its owner, or give access: chown {os.geteuid()} {path} (the folder {path.parent} too)"
    )


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise BrokerUnavailable(
            f"cannot create the database {path}: {exc.strerror}; make {path.parent} writable or set another broker_url"
        ) from exc


def open_beside(path: Path, suffix: str) -> int:
    """Open (create) a side file of a database with the database's own mode; return its descriptor.

    Raises:
        BrokerUnavailable: it cannot be had.
    """
    try:
        mode = path.stat().st_mode & 0o666
        descriptor = os.open(f"{path}{suffix}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as exc:
        raise BrokerUnavailable(
            f"cannot open {path}{suffix}, which belongs to the database {path}: {exc.strerror}; it must be a file that "
            f"user {os.geteuid()} may write, and this process must have files left to open (ulimit -n)"
        ) from exc
    if os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, mode)
    return descriptor


def file_system_of(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """Name the type of the file system under `path`; empty where the system does not tell."""
    try:
        mounts = mountinfo.read_text().splitlines()
    except OSError:
        return ""
    target = os.path.realpath(path)
    best, kind = "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def translate(exc: sqlite3.Error, path: Path, doing: str) -> BrokerUnavailable | EncodeError:
    """Turn a driver's error into ours: what happened, to which file, what to do.

    `EncodeError` says that the values are at fault, and trying again is no use.
    """
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH) or isinstance(
        exc, (sqlite3.DataError, sqlite3.InterfaceError)
    ):
        return EncodeError(f"{path} cannot hold a value ({exc}) while {doing}")
    if code == sqlite3.SQLITE_FULL:
        return BrokerFull(f"no room on the disk for {path} while {doing}; free some space")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BrokerUnavailable(
            f"{path} was locked by another process for too long while {doing}; "
            "a program holds a write transaction open on it (fuser shows which)"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BrokerUnavailable(
            f"{path} is damaged or no SQLite database ({exc}) while {doing}; put a backup in its place, save what "
            f"there is with: sqlite3 {path} .recover, or move it away to begin with an empty one"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return BrokerUnavailable(f"{path} cannot be opened for writing while {doing} ({exc}); check its mode and owner")
    return BrokerUnavailable(f"{path}: {exc} while {doing}")
