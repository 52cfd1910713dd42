"""When a child has done its share: after so many runs, or with so much memory. Another one takes its place then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

EXIT_REPLACED: Final = 155
"""Exit code of a child that has done its share, as Celery's children have it."""

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024 if hasattr(os, "sysconf") else 4


class Recycling(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a child may come to before it is replaced.

    Attributes:
        max_tasks: runs (`worker_max_tasks_per_child`), or None.
        max_memory_kib: resident memory after a run (`worker_max_memory_per_child`), or None.
    """

    max_tasks: int | None = None
    max_memory_kib: int | None = None

    def is_spent(self, begun: int) -> bool:
        """Say whether a child that has been given so many runs may be given no more."""
        return self.max_tasks is not None and begun >= self.max_tasks

    def is_too_large(self, pid: int) -> bool:
        """Say whether a process has more memory than it may have."""
        return self.max_memory_kib is not None and memory_kib(pid) > self.max_memory_kib


def memory_kib(pid: int) -> int:
    """Return the resident memory of a process in KiB, what it shares with others included; 0 when it has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_KIB
    except (OSError, IndexError):
        pass
    import psutil  # where there is no /proc; elsewhere 9 ms of a node's start

    try:
        return int(psutil.Process(pid).memory_info().rss // 1024)
    except psutil.Error:
        return 0
