from __future__ import annotations

import io
import logging
import re

import pytest

from celeriac.app.config import Settings
from celeriac.app.context import Context, entered
from celeriac.app.log import LOGGER, TASK_LOGGER, get_task_logger, set_process_name, set_up_logging
from celeriac.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def _loggers_as_they_were():
    kept = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in (LOGGER, TASK_LOGGER)]
    yield
    for logger, handlers, level, propagate in kept:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(level)
        logger.propagate = propagate


class Terminal(io.StringIO):
    """Be a terminal, as far as programs can tell."""

    def isatty(self):
        return True


@pytest.fixture
def conf():
    return Settings({}, environ={})


def test_lines_look_as_celerys(conf, capsys):
    set_up_logging(conf, level="INFO")

    logging.getLogger("celeriac.worker").info("Task %s[%s] received", "shop.pay", "run-1")

    shape = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: INFO/MainProcess\] Task shop\.pay\[run-1\] received\n"
    assert re.fullmatch(shape, capsys.readouterr().err)


def test_what_is_below_the_level_is_not_written(conf, capsys):
    set_up_logging(conf, level="warning")

    LOGGER.info("quiet")
    LOGGER.warning("loud")

    assert [line.endswith("loud") for line in capsys.readouterr().err.splitlines()] == [True]


def test_lines_of_tasks_name_the_task_and_the_run(conf, capsys):
    set_up_logging(conf, level="INFO")
    logger = logging.getLogger("celeriac.task.shop")

    with entered(Context(id="run-1", task="shop.pay", called_directly=False)):
        logger.info("paid")
    logger.info("outside")

    inside, outside = capsys.readouterr().err.splitlines()
    assert inside.endswith("INFO/MainProcess] shop.pay[run-1]: paid")
    assert outside.endswith("INFO/MainProcess] ???[???]: outside")


def test_formats_are_settings(capsys):
    conf = Settings({"worker_log_format": "%(levelname)s %(message)s"}, environ={})
    set_up_logging(conf, level="INFO")

    LOGGER.info("hello")

    assert capsys.readouterr().err == "INFO hello\n"


def test_a_process_can_have_a_name_and_change_it(conf, capsys):
    set_up_logging(conf, level="INFO", process_name="Supervisor")
    LOGGER.info("one")

    set_process_name("ForkPoolWorker-1")
    LOGGER.info("two")

    one, two = capsys.readouterr().err.splitlines()
    assert "INFO/Supervisor] one" in one
    assert "INFO/ForkPoolWorker-1] two" in two


@pytest.mark.parametrize(
    ("setting", "argument", "coloured"), [(None, None, False), (True, None, True), (True, False, False)]
)
def test_lines_are_coloured_on_a_terminal_or_when_asked(capsys, setting, argument, coloured):
    conf = Settings({"worker_log_color": setting}, environ={})
    set_up_logging(conf, level="INFO", color=argument)

    LOGGER.error("red")
    LOGGER.info("plain")

    red, plain = capsys.readouterr().err.splitlines()
    assert (red.startswith("\x1b[31m") and red.endswith("\x1b[0m")) is coloured
    assert "\x1b" not in plain


def test_a_terminal_gets_colours(conf, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    set_up_logging(conf, level="INFO")
    LOGGER.warning("yellow")

    assert terminal.getvalue().startswith("\x1b[33m")


def test_lines_can_go_to_a_file_without_colours(conf, capsys, tmp_path):
    file = tmp_path / "node.log"
    set_up_logging(conf, level="INFO", file=str(file))

    LOGGER.error("to the file")
    TASK_LOGGER.error("this too")

    lines = file.read_text().splitlines()
    assert [line.rpartition("] ")[2] for line in lines] == ["to the file", "???[???]: this too"]
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written_is_named_when_logging_is_set_up(conf, tmp_path):
    for file in (tmp_path, tmp_path / "missing" / "node.log"):
        with pytest.raises(ImproperlyConfigured) as caught:
            set_up_logging(conf, level="INFO", file=str(file))

        assert f"the log file {str(file)!r} cannot be written: " in str(caught.value)


def test_setting_up_twice_writes_every_line_once(conf, capsys):
    set_up_logging(conf, level="INFO")
    set_up_logging(conf, level="INFO")

    LOGGER.info("once")
    TASK_LOGGER.info("this too")

    assert len(capsys.readouterr().err.splitlines()) == 2


def test_the_loggers_of_the_program_are_left_alone(conf, capsys):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))

    set_up_logging(conf, level="DEBUG")

    assert (root.level, list(root.handlers)) == before


def test_the_logger_of_a_module_of_tasks_keeps_its_name_and_is_below_that_of_tasks(conf, capsys):
    set_up_logging(conf, level="INFO")
    logger = get_task_logger("paying.tasks")

    with entered(Context(id="run-1", task="paying.pay", called_directly=False)):
        logger.info("paid")

    assert (logger.name, logger.parent) == ("paying.tasks", TASK_LOGGER)
    assert capsys.readouterr().err.endswith("INFO/MainProcess] paying.pay[run-1]: paid\n")


def test_what_else_the_package_of_the_tasks_logs_stays_where_it_was():
    get_task_logger("selling.tasks.eu")

    assert logging.getLogger("selling.tasks").parent is logging.getLogger("selling")
    assert logging.getLogger("selling").parent is logging.root


def test_asking_twice_for_the_logger_of_a_module_changes_nothing():
    logger = get_task_logger("lending.tasks")

    assert get_task_logger("lending.tasks") is logger
    assert get_task_logger("lending.tasks.eu").parent is logger


@pytest.mark.parametrize("name", ["celeriac", "celeriac.task", "root"])
def test_a_logger_of_our_own_is_no_logger_of_a_module(name):
    with pytest.raises(RuntimeError, match="__name__"):
        get_task_logger(name)
