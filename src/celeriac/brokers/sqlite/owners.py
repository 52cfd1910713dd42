"""Show that an owner's process lives, and keep what it had started, in a file beside the database.

While it lives, the owner holds an OS lock on ``<database>-owners/<number>``. The kernel drops the lock with the
process, so a peer that gets it knows at once that the owner is dead, whatever the clocks say.

The same file is mapped into the owner's memory as its flight recorder: a cell for every message that it has handed to
a child. Writing one costs a memory write and no system call, and it outlives a SIGKILL, so that the death of a node
counts against those messages only that may have caused it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

CELLS: Final = 8192
"""More than a node ever hands to its children at a time; what does not fit is not recorded."""

_CELL: Final = struct.Struct("<q")
_FOLDER: Final = "-owners"


def _path(database: Path, number: int) -> Path:
    return Path(f"{database}{_FOLDER}") / str(number)


class OwnerFile:
    """Hold the lock and the cells of one owner, in the owner's process."""

    def __init__(self, database: Path, number: int) -> None:
        path = _path(database, number)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # Locked before it has its name: whoever cleans up takes a file that is not locked for a dead owner's.
        unnamed = path.with_name(f"new-{number}")
        unnamed.unlink(missing_ok=True)
        self._path = path
        self._descriptor = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not a sparse file: on a full disk the first touch of a page would kill this process.
        os.posix_fallocate(self._descriptor, 0, CELLS * _CELL.size)
        self._cells = mmap.mmap(self._descriptor, CELLS * _CELL.size)
        unnamed.rename(path)
        self._free = list(range(CELLS - 1, -1, -1))
        self._used: dict[int, int] = {}

    def note(self, tag: int) -> None:
        if self._free and tag not in self._used:
            cell = self._used[tag] = self._free.pop()
            _CELL.pack_into(self._cells, cell * _CELL.size, tag)

    def erase(self, tag: int) -> None:
        cell = self._used.pop(tag, None)
        if cell is not None:
            _CELL.pack_into(self._cells, cell * _CELL.size, 0)
            self._free.append(cell)

    def close(self, *, remove: bool) -> None:
        """Drop the lock. Without `remove` the file stays for whoever recovers this owner's messages."""
        if self._descriptor < 0:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        self._cells.close()
        os.close(self._descriptor)
        self._descriptor = -1


class DeadOwner:
    """Hold the lock of an owner who is dead, while its messages are recovered."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, database: Path, number: int) -> DeadOwner | None:
        """Take the lock of an owner; None while its process lives (or when there is no file to tell by)."""
        path = _path(database, number)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def started(self) -> set[int]:
        """Return the tags of the messages that it had handed to children."""
        return _read_started(self._descriptor)

    def close(self, *, remove: bool) -> None:
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def remove_files(database: Path, *, but: Collection[int]) -> None:
    """Delete what owners that are dead and recovered have left beside the database."""
    for path in _path(database, 0).parent.glob("[0-9]*"):
        number = int(path.name) if path.name.isdigit() else 0
        if number and number not in but and (dead := DeadOwner.take(database, number)) is not None:
            dead.close(remove=True)


def started_by(database: Path, number: int) -> set[int]:
    """Read the flight recorder of an owner who may still hold its lock (a stopped process)."""
    try:
        descriptor = os.open(_path(database, number), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return set()
    try:
        return _read_started(descriptor)
    finally:
        os.close(descriptor)


def _read_started(descriptor: int) -> set[int]:
    data = os.pread(descriptor, CELLS * _CELL.size, 0)
    whole = len(data) - len(data) % _CELL.size
    return {tag for (tag,) in _CELL.iter_unpack(data[:whole]) if tag}
