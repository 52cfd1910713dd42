"""Celery's log lines, on handlers of our own: the root logger stays the program's."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import IO, Final

from celeriac.app.config import Settings
from celeriac.app.context import current_context
from celeriac.exceptions import ImproperlyConfigured

LOGGER: Final = logging.getLogger("celeriac")
TASK_LOGGER: Final = logging.getLogger("celeriac.task")

_COLOURS: Final[Mapping[int, str]] = {
    logging.DEBUG: "\x1b[34m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[35m",
}
_PLAIN: Final = "\x1b[0m"
_UNKNOWN: Final = "???"


class LineFormatter(logging.Formatter):
    """Format records as `worker_log_format` says, in the colour of their level when asked to.

    Args:
        line: the format; may name `processName` as Celery's does.
        process_name: what to call this process in it.
        color: write escape sequences.
    """

    def __init__(self, line: str, *, process_name: str, color: bool) -> None:
        super().__init__(line)
        self.process_name = process_name
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        record.processName = self.process_name
        text = super().format(record)
        return coloured(text, record.levelno) if self._color else text


class TaskLineFormatter(LineFormatter):
    """Format as `worker_task_log_format` says: lines know the task they come from, ``???`` outside of one."""

    def format(self, record: logging.LogRecord) -> str:
        context = current_context()
        record.task_name = (context and context.task) or _UNKNOWN
        record.task_id = (context and context.id) or _UNKNOWN
        return super().format(record)


def get_task_logger(name: str) -> logging.Logger:
    """Return the logger of a module of tasks: ``logger = get_task_logger(__name__)``.

    It keeps its name and stands below `celeriac.task`, as in Celery, so that its lines know the task that they come
    from, go where the worker's do, and have its level.

    Raises:
        RuntimeError: the name is one of celeriac's own loggers, or the root's.
    """
    logger = logging.getLogger(name)
    if logger in (logging.root, LOGGER, TASK_LOGGER):
        raise RuntimeError(f"logger name {name!r} is reserved: give get_task_logger the name of the module, __name__")
    # A logger that is made after one further down takes that one's parent for its own. So those above are made first:
    # what else "shop" logs is not of tasks because "shop.tasks" is.
    parts = name.split(".")
    for length in range(1, len(parts)):
        logging.getLogger(".".join(parts[:length]))
    if not _is_below(logger, TASK_LOGGER):
        logger.parent = TASK_LOGGER
    return logger


def _is_below(logger: logging.Logger | None, other: logging.Logger) -> bool:
    while logger is not None and logger is not other:
        logger = logger.parent
    return logger is other


def coloured(text: str, level: int) -> str:
    """Put text into the colour of a level, if it has one."""
    colour = _COLOURS.get(level)
    return f"{colour}{text}{_PLAIN}" if colour else text


def set_up_logging(
    conf: Settings,
    *,
    level: str | int,
    file: str | None = None,
    color: bool | None = None,
    process_name: str = "MainProcess",
) -> None:
    """Write what celeriac logs to standard error, or to a file. May be called again; the last call counts.

    Args:
        conf: has the formats, and `worker_log_color` for when `color` is None.
        level: name or number; what is below it is not logged.
        file: where lines are appended instead.
        color: True or False; None asks the setting, then whether lines go to a terminal.
        process_name: what lines call this process.

    Raises:
        ImproperlyConfigured: the file cannot be written.
    """
    stream = sys.stderr
    if color is None:
        color = conf.worker_log_color
    if color is None:
        color = file is None and _is_terminal(stream)
    for logger, kind, line in (
        (LOGGER, LineFormatter, conf.worker_log_format),
        (TASK_LOGGER, TaskLineFormatter, conf.worker_task_log_format),
    ):
        handler = _handler(file, stream)
        handler.setFormatter(kind(line, process_name=process_name, color=color))
        _replace_handler(logger, handler)
        logger.setLevel(level.upper() if isinstance(level, str) else level)
        logger.propagate = False


def set_process_name(name: str) -> None:
    """Have lines from now on call this process `name`; a forked child calls it once."""
    for logger in (LOGGER, TASK_LOGGER):
        for handler in logger.handlers:
            if isinstance(handler.formatter, LineFormatter):
                handler.formatter.process_name = name


def _handler(file: str | None, stream: IO[str]) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(stream)
    try:
        return logging.FileHandler(file, encoding="utf-8")
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ImproperlyConfigured(
            f"the log file {file!r} cannot be written: {reason}. Make its folder and let this user write there, "
            "or name another file with -f"
        ) from error


def _replace_handler(logger: logging.Logger, handler: logging.Handler) -> None:
    for old in [old for old in logger.handlers if isinstance(old.formatter, LineFormatter)]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)


def _is_terminal(stream: IO[str]) -> bool:
    return stream is not None and stream.isatty()
