"""What Celery has in `celery.platforms`: exit codes, signals, the names of systems."""

from __future__ import annotations

import errno
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

EX_OK: Final = getattr(os, "EX_OK", 0)
EX_FAILURE: Final = 1
EX_UNAVAILABLE: Final = getattr(os, "EX_UNAVAILABLE", 69)
EX_USAGE: Final = getattr(os, "EX_USAGE", 64)

SYSTEM: Final = platform.system()
IS_macOS: Final = SYSTEM == "Darwin"
IS_WINDOWS: Final = SYSTEM == "Windows"

SIGMAP: Final = {each.value: each.name for each in signal.Signals}


def pyimplementation() -> str:
    """Return the name of the Python implementation."""
    return platform.python_implementation()


def signal_name(signum: int) -> str:
    """Return the name of a signal, without SIG.

    Raises:
        KeyError: there is no such signal.
    """
    return SIGMAP[signum].removeprefix("SIG")


def get_errno_name(n: int | str) -> int:
    """Return the number of an error of the system: ``ENOENT``; a number as it is."""
    return getattr(errno, n) if isinstance(n, str) else n


@contextmanager
def ignore_errno(*errnos: int | str, types: Any = OSError) -> Iterator[None]:
    """Ignore errors of these numbers or names within the ``with``."""
    ignored = {get_errno_name(each) for each in errnos}
    try:
        yield
    except types as exc:
        if getattr(exc, "errno", None) not in ignored:
            raise


def isatty(fh: Any) -> bool:
    """Tell whether a file is a terminal."""
    try:
        return bool(fh.isatty())
    except AttributeError:
        return False


def set_process_title(progname: str, info: str | None = None) -> str:
    """Say in the list of processes what this one does, where the system can; return the title."""
    title = f"[{progname}] {info or ''}".rstrip()
    try:
        from setproctitle import setproctitle
    except ImportError:  # not installed on Windows
        return title
    setproctitle(title)
    return title
