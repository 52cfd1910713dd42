"""What bodies print becomes log lines, which know the task that they come from."""

from __future__ import annotations

import io
import logging
import sys
import threading
from typing import Final, TextIO

from celeriac.app.log import TASK_LOGGER
from celeriac.app.log_fields import logged_run

REDIRECTED: Final = TASK_LOGGER.getChild("redirected")


class LoggedStream(io.TextIOBase):
    """Log each line that is written; what has no end of line yet, when it is flushed.

    Threads do not mix their lines, nor do coroutines that run for different messages.

    Args:
        original: the stream whose place it takes; binary data and file descriptors are still its.
        logger: gets the lines.
        level: number of the level that they get.
    """

    def __init__(self, original: TextIO, logger: logging.Logger, level: int) -> None:
        self._original = original
        self._logger = logger
        self._level = level
        self._begun: dict[tuple[int, int], str] = {}
        self._of_thread = threading.local()

    def write(self, text: str, /) -> int:
        key = id(logged_run()), threading.get_ident()
        *lines, rest = (self._begun.pop(key, "") + text).split("\n")
        if rest:
            self._begun[key] = rest
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        """Log what this run has begun to write, its threads included; outside of runs, what this thread has."""
        if not self._begun:  # after each run
            return
        run = logged_run()
        for key in [key for key in list(self._begun) if key[0] == id(run) and (run or key[1] == threading.get_ident())]:
            self._log(self._begun.pop(key, ""))

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


def flush_output() -> None:
    """Log what was printed without an end of line. Does nothing where output is not redirected."""
    for stream in (sys.stdout, sys.stderr):  # a body may have put something else in the place of either
        if isinstance(stream, LoggedStream):
            stream.flush()
