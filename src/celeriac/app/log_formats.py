"""How a record becomes a line: Celery's text, or JSON."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from celeriac.app.config.worker import FIELDS
from celeriac.app.log_fields import UNKNOWN, fill_fields
from celeriac.wire.reprs import bounded_repr

JSON: Final = "json"
"""The value of `worker_log_format` and `worker_task_log_format` that asks for JSON."""

_COLOURS: Final[Mapping[int, str]] = {
    logging.DEBUG: "\x1b[34m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[35m",
}
_PLAIN: Final = "\x1b[0m"

# What every record has; anything else was given as `extra`.
_OF_EVERY_RECORD: Final = frozenset({*vars(logging.makeLogRecord({})), *FIELDS, "message", "asctime", "taskName"})


def coloured(text: str, level: int) -> str:
    """Put text into the colour of a level, if it has one."""
    colour = _COLOURS.get(level)
    return f"{colour}{text}{_PLAIN}" if colour else text


class LineFormatter(logging.Formatter):
    """Format records as `worker_log_format` says, in the colour of their level when asked to.

    Args:
        line: the format; may name `processName` as Celery's does, `task_name`, `task_id` and `root_id`.
        process_name: what to call this process in it.
        color: write escape sequences.
        datefmt: format of the times; None is Celery's, with milliseconds.
    """

    def __init__(self, line: str, *, process_name: str, color: bool, datefmt: str | None = None) -> None:
        super().__init__(line, datefmt)
        self.process_name = process_name
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        record.processName = self.process_name
        fill_fields(record)
        text = super().format(record)
        return coloured(text, record.levelno) if self._color else text


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object in one line: who, when, what, the run, and what was given as `extra`.

    Args:
        process_name: what to call this process.
        datefmt: format of `time`; None is ISO 8601 with milliseconds, in UTC.
    """

    def __init__(self, *, process_name: str, datefmt: str | None = None) -> None:
        super().__init__(datefmt=datefmt)
        self.process_name = process_name

    def format(self, record: logging.LogRecord) -> str:
        fill_fields(record)
        line: dict[str, Any] = {
            "time": self._time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "process": self.process_name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = record.__dict__[name]
            if value != UNKNOWN:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _OF_EVERY_RECORD:
                line.setdefault(name, value)
        return _as_json(line)

    def _time(self, created: float) -> str:
        if self.datefmt is not None:
            return time.strftime(self.datefmt, time.localtime(created))
        return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")


_encode: Final = msgspec.json.Encoder(enc_hook=bounded_repr).encode


def _as_json(line: dict[str, Any]) -> str:
    try:
        return _encode(line).decode()
    except (
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
        UnicodeError,
    ):  # something in it that JSON has no form for
        return _encode({name: _plain(value) for name, value in line.items()}).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value if value is None or isinstance(value, int) else bounded_repr(value)


def formatter_of(line: str, *, process_name: str, color: bool, datefmt: str | None) -> LineFormatter | JsonFormatter:
    """Make the formatter that a setting asks for."""
    if line == JSON:
        return JsonFormatter(process_name=process_name, datefmt=datefmt)
    return LineFormatter(line, process_name=process_name, color=color, datefmt=datefmt)
