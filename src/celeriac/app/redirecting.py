"""What bodies print becomes log lines, which know the task that they come from."""

from __future__ import annotations

import io
import logging
import sys
import threading
from typing import Final, TextIO

from celeriac.app.context import current_context
from celeriac.app.log import TASK_LOGGER

REDIRECTED: Final = TASK_LOGGER.getChild("redirected")


class LoggedStream(io.TextIOBase):
    """Log each line that is written; what has no end of line yet, when it is flushed.

    Args:
        original: the stream whose place it takes; binary data and file descriptors are still its.
        logger: gets the lines.
        level: number of the level that they get.
    """

    def __init__(self, original: TextIO, logger: logging.Logger, level: int) -> None:
        self._original = original
        self._logger = logger
        self._level = level
        self._begun: dict[object, str] = {}
        self._of_thread = threading.local()

    def write(self, text: str, /) -> int:
        writer = _writer()
        *lines, begun = (self._begun.pop(writer, "") + text).split("\n")
        if begun:
            self._begun[writer] = begun
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        begun = self._begun.pop(_writer(), "")
        if begun:
            self._log(begun)

    def _log(self, line: str) -> None:
        # A handler that prints what is wrong with it must not be told of that by itself.
        if line.strip() and not getattr(self._of_thread, "logging", False):
            self._of_thread.logging = True
            try:
                self._logger.log(self._level, "%s", line)
            finally:
                self._of_thread.logging = False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, as it is for every text stream in use
        return self._original.encoding

    @property
    def buffer(self) -> io.BufferedIOBase:
        """Where binary data go."""
        return self._original.buffer  # type: ignore[return-value]  # typeshed is less exact about standard streams


def _writer() -> object:
    """Tell apart whose lines are whose: runs may share a thread, and a run may write from several."""
    context = current_context()
    if context is None:
        return threading.get_ident()
    while context.outer is not None:
        context = context.outer
    return context


def redirect_output(level: str | int) -> None:
    """Have what this process prints, on both streams, become log lines."""
    number = logging.getLevelNamesMapping()[level.upper()] if isinstance(level, str) else level
    sys.stdout = LoggedStream(sys.stdout, REDIRECTED, number)
    sys.stderr = LoggedStream(sys.stderr, REDIRECTED, number)


def flush_output() -> None:
    """Log what was printed without an end of line. Does nothing where output is not redirected."""
    for stream in (sys.stdout, sys.stderr):  # a body may have put something else in the place of either
        if isinstance(stream, LoggedStream):
            stream.flush()
