"""The file that says which process a node is (`--pidfile`)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from celeriac.exceptions import ImproperlyConfigured


@contextmanager
def pid_file(path: str) -> Iterator[None]:
    """Have a file hold this process's id, for the length of a `with` block.

    The file is locked as long as this process lives. So one that a killed node has left behind is taken over, and one
    of a living node is not, whatever number stands in it.

    Raises:
        ImproperlyConfigured: another node has it, or it cannot be written.
    """
    descriptor = _locked(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)  # before the lock goes: afterwards it may be another one's
        os.close(descriptor)


def _locked(path: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ImproperlyConfigured(
                f"the pid file {path!r} cannot be written: {error.strerror}. Make its folder and let this user write "
                "there, or name another file with --pidfile"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ImproperlyConfigured(
                f"the pid file {path!r} belongs to a node that runs, process {owner}: stop that one, or name another "
                "file with --pidfile (%n is the name of the node)"
            ) from error
        if _is_still(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner has just deleted it


def _is_still(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
