"""The modules of `compat` that are a few lines each."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import signal

import click
import pytest

from celeriac import __version__
from celeriac.app.context import Context, entered
from celeriac.app.log import LOGGER
from celeriac.compat import deprecated, platforms
from celeriac.compat.commands import CeleryCommandException
from celeriac.compat.logs import LOG_LEVELS, ColorFormatter, TaskFormatter, get_logger, mlevel
from celeriac.compat.serialization import saferepr, strtobool
from celeriac.compat.version import VERSION, VERSION_BANNER
from celeriac.exceptions import CDeprecationWarning, CPendingDeprecationWarning


def record(text, level=logging.WARNING):
    return logging.LogRecord("shop", level, "shop.py", 1, text, (), None)


@pytest.mark.parametrize(("text", "means"), [("Yes", True), ("1", True), ("off", False), (True, True), (0, 0)])
def test_words_are_true_or_false(text, means):
    assert strtobool(text) is means


def test_a_word_that_means_neither_is_refused():
    with pytest.raises(TypeError, match="'maybe'"):
        strtobool("maybe")


def test_reprs_are_bounded():
    assert saferepr({"a": [1, [2, [3, [4]]]]}, maxlevels=2) == "{'a': [1, [...]]}"
    assert len(saferepr("x" * 1000, maxlen=50)) <= 50


def test_what_goes_away_warns_and_works():
    @deprecated.Callable(removal="2.0", alternative="Use new.")
    def old(number):
        return number + 1

    class Thing:
        @deprecated.Property(deprecation="1.5", description="Thing.size")
        def size(self):
            return 5

    with pytest.warns(CDeprecationWarning, match=r"old is deprecated and removed in version 2.0. Use new."):
        assert old(1) == 2
    with pytest.warns(CPendingDeprecationWarning, match=r"Thing.size will be deprecated in version 1.5."):
        assert Thing().size == 5


def test_a_warning_points_at_the_caller():
    with pytest.warns(CDeprecationWarning) as caught:
        deprecated.warn("it")

    assert caught[0].filename == __file__


def test_signals_and_errors_have_names():
    assert platforms.signal_name(signal.SIGTERM) == "TERM"
    assert platforms.get_errno_name("ENOENT") == platforms.get_errno_name(errno.ENOENT) == errno.ENOENT


def test_errors_of_the_system_are_ignored_by_name():
    with platforms.ignore_errno("ENOENT"):
        os.stat("/no/such/file")
    with pytest.raises(NotADirectoryError), platforms.ignore_errno("ENOENT"):
        os.stat(f"{__file__}/file")


def test_what_is_no_file_is_no_terminal():
    assert not platforms.isatty(io.StringIO())
    assert not platforms.isatty(None)


def test_a_command_ends_with_a_text_and_a_code():
    exc = CeleryCommandException("no such node", 69)

    assert isinstance(exc, click.ClickException)
    assert (exc.message, exc.exit_code) == ("no such node", 69)


def test_levels_have_names_and_numbers():
    assert (LOG_LEVELS["WARN"], LOG_LEVELS[logging.ERROR]) == (logging.WARNING, "ERROR")
    assert (mlevel("info"), mlevel(10), mlevel(0), mlevel(None)) == (logging.INFO, 10, 0, None)


def test_a_logger_of_a_program_is_served_by_the_handlers_of_the_worker():
    assert get_logger("outside").parent is LOGGER
    assert get_logger("celeriac") is LOGGER


def test_lines_are_coloured_when_asked_for():
    assert ColorFormatter("%(message)s").format(record("slow")) == "\x1b[33mslow\x1b[0m"
    assert ColorFormatter("%(message)s", use_color=False).format(record("slow")) == "slow"


def test_lines_of_a_task_know_the_task():
    formatter = TaskFormatter("%(task_id)s %(task_name)s %(message)s", use_color=False)

    with entered(Context(id="run-1", task="shop.pay", called_directly=False)):
        inside = formatter.format(record("paid"))

    assert (inside, formatter.format(record("idle"))) == ("run-1 shop.pay paid", "??? ??? idle")


def test_the_version_has_parts():
    assert re.match(r"\d+\.\d+\.\d+", ".".join(map(str, VERSION[:3])))
    assert f"{__version__} (celeriac)" == VERSION_BANNER
