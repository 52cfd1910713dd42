"""`celeriac worker -D`: go on in the background.

The command that was typed ends when the worker takes work, or cannot: whoever typed it reads why.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import click

from celeriac.exceptions import CeleriacError

_READY_WITHIN: Final = 30.0
_VARIABLE: Final = "_CELERIAC_DETACHED"
"""Holds the id of a process that has gone to the background: one that executes itself anew stays there."""

_READY: Final = b"ready"
_ERROR_MAX: Final = 65_536


def is_in_background() -> bool:
    """Say whether this process has gone to the background before."""
    return os.environ.get(_VARIABLE) == str(os.getpid())


class Background:
    """Be a process in the background; within a `with` block the command that was typed is told why it ends.

    Args:
        tell: descriptor on which that command listens.
    """

    def __init__(self, tell: int) -> None:
        self._tell = tell

    def __enter__(self) -> Self:
        # Only here: commands that do not need signals do without them.
        from celeriac.app.signals import worker_ready

        worker_ready.connect(self._say_ready, weak=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(exc, CeleriacError):
            self._write(str(exc).encode())

    def _say_ready(self, **provided: object) -> None:
        self._write(b"%s %s" % (_READY, os.environ[_VARIABLE].encode()))

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._tell, data[:_ERROR_MAX])
        except OSError:  # nobody listens any more: they were told once, or have lost patience
            return


def go_to_background(log: str | None) -> int | Background:
    """Go on as another process, which has left this terminal.

    Called before there are threads.

    Args:
        log: file that gets what the other process writes to standard output and error; None: nowhere.

    Returns:
        The exit code in the process that was started, when the other one takes work, or has ended.
    """
    listen, tell = os.pipe()
    middle = os.fork()
    if middle:
        os.close(tell)
        os.waitpid(middle, 0)
        return _hear(listen)
    os.close(listen)
    os.setsid()
    if os.fork():  # who leads a session may get a terminal again
        os._exit(0)
    os.environ[_VARIABLE] = str(os.getpid())
    _leave_terminal(log)
    return Background(tell)


def _leave_terminal(log: str | None) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    out = nothing if log is None else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor, target in ((0, nothing), (1, out), (2, out)):
        os.dup2(target, descriptor)
    for opened in {nothing, out}:
        if opened > 2:
            os.close(opened)


def _hear(listen: int, say: Callable[[str], object] = lambda text: click.echo(text, err=True)) -> int:
    readable, _, _ = select.select([listen], [], [], _READY_WITHIN)
    if not readable:
        say(f"The worker takes no work yet, {_READY_WITHIN:.0f} s after its start; it goes on, and its log says why.")
        return 0
    told = os.read(listen, _ERROR_MAX)
    if told.startswith(_READY):
        say(f"The worker works in the background, as process {told.split()[1].decode()}.")
        return 0
    say(f"Error: {told.decode(errors='replace') or 'the worker ended before it took work; its log says why (-f)'}")
    return 1
