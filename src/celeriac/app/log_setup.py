"""`app.log`: where log lines go, and how they look. The root logger stays the program's unless it is asked for."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.config.worker import TASK_LOG_FORMAT
from celeriac.app.log import LOGGER, TASK_LOGGER
from celeriac.app.log_fields import have_records_know
from celeriac.app.log_files import file_handler
from celeriac.app.log_formats import JSON, JsonFormatter, LineFormatter, formatter_of
from celeriac.app.redirecting import REDIRECTED, LoggedStream
from celeriac.app.signals import after_setup_logger, after_setup_task_logger, setup_logging

if TYPE_CHECKING:
    from celeriac.app.config import Settings
    from celeriac.app.configured import Configured

_WARNINGS: Final = logging.getLogger("py.warnings")
_DEFAULT_LEVEL: Final = logging.WARNING


def level_number(level: str | int | None) -> int:
    """Return the number of a level; that of WARNING where none was given.

    Raises:
        KeyError: there is no such level.
    """
    if isinstance(level, str):
        return logging.getLevelNamesMapping()[level.upper()]
    return level or _DEFAULT_LEVEL


class _Done:
    """Say what was done in this process."""

    here = False
    by_receivers = False


_done: Final = _Done()


class Logging:
    """Set logging up, once per process; later calls do nothing until `already_setup` is set to False.

    A receiver of the signal `setup_logging` does it instead.

    Args:
        app: its settings say formats, colours, and whether the root logger is taken over.
    """

    def __init__(self, app: Configured) -> None:
        self._app = app
        self._process_name = "MainProcess"

    @property
    def already_setup(self) -> bool:
        """Whether logging was set up in this process, for any app."""
        return _done.here

    @already_setup.setter
    def already_setup(self, value: bool) -> None:
        _done.here = value

    @property
    def handled(self) -> bool:
        """Whether a receiver of `setup_logging` did that."""
        return _done.by_receivers

    @property
    def _conf(self) -> Settings:
        return self._app.conf

    def setup(
        self,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        redirect_stdouts: bool = False,
        redirect_level: str | int = "WARNING",
        colorize: bool | None = None,
        hostname: str | None = None,
        *,
        process_name: str = "MainProcess",
    ) -> list[tuple[Any, Any]] | None:
        """Set everything up: loggers, warnings of Python, and on request what is printed.

        Args:
            loglevel: name or number; what is below it is not logged.
            logfile: where lines are appended; None is standard error.
            redirect_stdouts: make log lines of what is printed.
            redirect_level: the level of these.
            colorize: True or False; None asks the setting, then whether lines go to a terminal.
            hostname: of no effect; taken because Celery's has it.
            process_name: what lines call this process.

        Returns:
            The receivers of `setup_logging` with what they returned; None when logging was set up before.

        Raises:
            ImproperlyConfigured: the file cannot be written.
        """
        self._process_name = process_name
        handled = self.setup_logging_subsystem(loglevel, logfile, colorize=colorize)
        if redirect_stdouts and not handled:
            self.redirect_stdouts(redirect_level)
        logging.captureWarnings(True)
        return handled

    def setup_logging_subsystem(
        self,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        format: str | None = None,
        colorize: bool | None = None,
        hostname: str | None = None,
        datefmt: str | None = None,
    ) -> list[tuple[Any, Any]] | None:
        """Set the loggers up, unless receivers of `setup_logging` do; see `setup`. What they raise is raised."""
        if self.already_setup:
            return None
        _done.here = True
        level = level_number(loglevel)
        line = format or self._conf.worker_log_format
        color = self.supports_color(colorize, logfile)
        have_records_know()
        told = setup_logging.send(sender=None, loglevel=level, logfile=logfile, format=line, colorize=color)
        for _, answer in told:
            if isinstance(answer, Exception):
                _done.here = False
                raise answer
        _done.by_receivers = bool(told)
        if not told:
            self._set_up_loggers(level, logfile, line, color, datefmt or self._conf.worker_log_datefmt)
            self.setup_task_loggers(level, logfile, colorize=color)
        return told

    def _set_up_loggers(self, level: int, file: str | None, line: str, color: bool, datefmt: str | None) -> None:
        if self._conf.worker_hijack_root_logger:
            logger = logging.getLogger()
            for each in (logger, LOGGER, TASK_LOGGER, REDIRECTED, _WARNINGS):
                each.handlers = []
            LOGGER.propagate = _WARNINGS.propagate = True
        else:
            logger = LOGGER
            LOGGER.propagate = False
        self.setup_handlers(logger, file, line, color, datefmt=datefmt)
        logger.setLevel(level)
        LOGGER.setLevel(level)
        if logger is LOGGER and not logging.getLogger().handlers:  # else they go where the program wants its lines
            self.setup_handlers(_WARNINGS, file, line, color, datefmt=datefmt)
            _WARNINGS.propagate = False
        after_setup_logger.send(sender=None, logger=logger, loglevel=level, logfile=file, format=line, colorize=color)

    def setup_task_loggers(
        self,
        loglevel: str | int | None = None,
        logfile: str | None = None,
        format: str | None = None,
        colorize: bool | None = None,
        propagate: bool = False,
        datefmt: str | None = None,
    ) -> logging.Logger:
        """Set up the logger that those of `get_task_logger` stand below, and return it; see `setup`."""
        level = level_number(loglevel)
        line = format or self._task_format
        color = self.supports_color(colorize, logfile)
        datefmt = datefmt or self._conf.worker_task_log_datefmt
        self.setup_handlers(TASK_LOGGER, logfile, line, color, datefmt=datefmt)
        TASK_LOGGER.setLevel(level)
        TASK_LOGGER.propagate = propagate
        after_setup_task_logger.send(
            sender=None, logger=TASK_LOGGER, loglevel=level, logfile=logfile, format=line, colorize=color
        )
        return TASK_LOGGER

    @property
    def _task_format(self) -> str:
        """The format of tasks; JSON where that is wanted of all and nothing else was said of tasks."""
        said = self._conf.worker_task_log_format
        return JSON if said == TASK_LOG_FORMAT and self._conf.worker_log_format == JSON else said

    def setup_handlers(
        self,
        logger: logging.Logger,
        logfile: str | None = None,
        format: str | None = None,
        colorize: bool = False,
        *,
        datefmt: str | None = None,
    ) -> logging.Logger:
        """Give a logger a handler for a file or standard error, in place of the one that it had from here."""
        handler = logging.StreamHandler(sys.stderr) if logfile is None else file_handler(logfile)
        line = format or self._conf.worker_log_format
        handler.setFormatter(formatter_of(line, process_name=self._process_name, color=colorize, datefmt=datefmt))
        for old in [old for old in logger.handlers if _is_ours(old)]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
        return logger

    def supports_color(self, colorize: bool | None = None, logfile: str | None = None) -> bool:
        """Say whether lines are to be coloured: as asked, else as the setting says, else on a terminal."""
        said = self._conf.worker_log_color if colorize is None else colorize
        return logfile is None and _is_terminal() if said is None else said

    def redirect_stdouts(self, loglevel: str | int | None = None, name: str = REDIRECTED.name) -> None:
        """Make log lines of what this process prints, on both streams; see `redirect_stdouts_to_logger`."""
        self.redirect_stdouts_to_logger(logging.getLogger(name), loglevel)

    def redirect_stdouts_to_logger(
        self, logger: logging.Logger, loglevel: str | int | None = None, stdout: bool = True, stderr: bool = True
    ) -> LoggedStream:
        """Have a logger get what this process prints, and return the stream that stands for it.

        Args:
            loglevel: name or number of the level of these lines.
            stdout: redirect standard output.
            stderr: redirect standard error.
        """
        level = level_number(loglevel)
        stream = LoggedStream(sys.stderr, logger, level)
        if stdout:
            sys.stdout = LoggedStream(sys.stdout, logger, level)
        if stderr:
            sys.stderr = stream
        return stream

    def get_default_logger(self, name: str = LOGGER.name) -> logging.Logger:
        """Return celeriac's logger, or another one."""
        return logging.getLogger(name)


def set_process_name(name: str) -> None:
    """Have lines from now on call this process `name`; a forked child calls it once."""
    for logger in (logging.getLogger(), LOGGER, TASK_LOGGER, _WARNINGS):
        for handler in logger.handlers:
            if isinstance(handler.formatter, LineFormatter | JsonFormatter):
                handler.formatter.process_name = name


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler.formatter, LineFormatter | JsonFormatter)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
