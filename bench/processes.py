"""Processes that this run started, found and ended by their ids, never by a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parent.parent
STOP_AFTER: Final = 10.0


@contextmanager
def worker(argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[psutil.Popen]:
    """Run a worker from the root of the checkout, its output in `log`, and end it with all its processes."""
    with log.open("wb") as output:
        process = psutil.Popen(
            argv, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    with ended(process):
        yield process


@contextmanager
def ended(process: subprocess.Popen[bytes] | psutil.Popen) -> Iterator[None]:
    """Whatever happens inside: end a process by SIGTERM, and after 10 s it and its descendants by SIGKILL."""
    try:
        yield
    finally:
        family = descendants(process.pid)
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            process.terminate()
        with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
            process.wait(STOP_AFTER)
        for one in [*family, *descendants(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()  # psutil looks at the start time first, so a reused id is safe
        if process.poll() is None:
            process.kill()
            process.wait(STOP_AFTER)


def descendants(pid: int) -> list[psutil.Process]:
    """Return the children of a process and theirs; none when it has gone."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def private_mb(processes: Sequence[psutil.Process]) -> float:
    """Return the memory that would be free if these processes ended, in MB (unique set size)."""
    return sum(process.memory_full_info().uss for process in processes) / 1e6


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return what these processes have computed so far."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def stop_cleanly_when_told() -> None:
    """Make SIGTERM unwind this process, so that it ends what it started."""

    def unwind(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
