"""What Celery has in `celery.utils.log` and `celery.app.log`, besides `get_task_logger`."""

from __future__ import annotations

import logging
import sys
from typing import Final

from celeriac.app.log import LOGGER
from celeriac.app.log_fields import fill_fields
from celeriac.app.log_formats import coloured
from celeriac.app.redirecting import LoggedStream

_NUMBERS: Final = logging.getLevelNamesMapping()

LOG_LEVELS: Final[dict[str | int, str | int]] = {}
"""Levels by name, and names by level."""
LOG_LEVELS.update(_NUMBERS)
LOG_LEVELS.update({number: logging.getLevelName(number) for number in _NUMBERS.values()})


def mlevel(level: str | int | None) -> int | None:
    """Return the number of a level.

    Raises:
        KeyError: there is no such level.
    """
    return _NUMBERS[level.upper()] if isinstance(level, str) else level


def get_logger(name: str) -> logging.Logger:
    """Return a logger, which the worker's handlers serve too unless it is the root's."""
    logger = logging.getLogger(name)
    if logger.parent is logging.root and logger is not LOGGER:
        logger.parent = LOGGER
    return logger


class ColorFormatter(logging.Formatter):
    """Format records in the colour of their level.

    Args:
        fmt: the format, as `logging.Formatter` has it.
        use_color: write escape sequences.
        datefmt: format of times, likewise.
    """

    def __init__(self, fmt: str | None = None, use_color: bool = True, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt)
        self.use_color = use_color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return coloured(text, record.levelno) if self.use_color else text


class TaskFormatter(ColorFormatter):
    """Format records with ``%(task_name)s`` and ``%(task_id)s``, which are ``???`` outside of a task."""

    def format(self, record: logging.LogRecord) -> str:
        fill_fields(record)
        return super().format(record)


class LoggingProxy(LoggedStream):
    """Be a stream that logs each line that is written to it.

    Args:
        logger: gets the lines.
        loglevel: name or number of their level; None is the logger's own, else ERROR.
    """

    def __init__(self, logger: logging.Logger, loglevel: str | int | None = None) -> None:
        super().__init__(sys.__stderr__ or sys.stderr, logger, mlevel(loglevel or logger.level) or logging.ERROR)
        self.logger = logger
        self.loglevel = self._level
