from __future__ import annotations

import io
import json
import logging
import re
import sys
import warnings
from types import SimpleNamespace
from typing import cast

import pytest

from celeriac import Celery
from celeriac.app.config import Settings
from celeriac.app.configured import Configured
from celeriac.app.context import Context, entered
from celeriac.app.log import LOGGER, TASK_LOGGER, get_task_logger
from celeriac.app.log_setup import Logging, set_process_name
from celeriac.app.signals import after_setup_logger, after_setup_task_logger, setup_logging
from celeriac.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def _loggers_as_they_were():
    loggers = (logging.getLogger(), LOGGER, TASK_LOGGER, logging.getLogger("py.warnings"))
    kept = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    factory = logging.getLogRecordFactory()
    yield
    for logger, handlers, level, propagate in kept:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(False)
    Logging(cast("Configured", None)).already_setup = False


class Terminal(io.StringIO):
    """Be a terminal, as far as programs can tell."""

    def isatty(self):
        return True


@pytest.fixture
def conf():
    return Settings({}, environ={})


def set_up_logging(conf, *, level, file=None, color=None, process_name="MainProcess"):
    log = Logging(cast("Configured", SimpleNamespace(conf=conf)))
    log.already_setup = False
    log.setup(level, file, colorize=color, process_name=process_name)
    return log


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


# -- asking for more, or for something else -------------------------------------------------------------------------


@pytest.fixture
def connected():
    """Connect receivers for the length of a test."""
    made = []

    def connect(signal, receiver):
        signal.connect(receiver, weak=False)
        made.append((signal, receiver))

    yield connect
    for signal, receiver in made:
        signal.disconnect(receiver)


def test_a_receiver_sets_logging_up_instead(conf, connected, capsys):
    told = []
    connected(setup_logging, lambda **said: told.append({key: said[key] for key in said if key != "signal"}))

    log = set_up_logging(conf, level="INFO", file="node.log")

    assert told == [
        {"sender": None, "loglevel": 20, "logfile": "node.log", "format": conf.worker_log_format, "colorize": False}
    ]
    assert log.handled
    assert not [each for each in (*LOGGER.handlers, *TASK_LOGGER.handlers) if isinstance(each, logging.FileHandler)]


def test_what_such_a_receiver_raises_is_raised(conf, connected):
    def broken(**said):
        raise KeyError("no")

    connected(setup_logging, broken)

    with pytest.raises(KeyError):
        set_up_logging(conf, level="INFO")
    assert not Logging(cast("Configured", None)).already_setup


def test_receivers_are_told_what_was_set_up(conf, connected):
    told = []
    for signal in (after_setup_logger, after_setup_task_logger):
        connected(signal, lambda **said: told.append((said["logger"].name, said["loglevel"], said["format"])))

    set_up_logging(conf, level="INFO")

    assert told == [
        ("celeriac", 20, conf.worker_log_format),
        ("celeriac.task", 20, conf.worker_task_log_format),
    ]


def test_the_root_logger_is_taken_over_when_that_is_asked_for(capsys):
    conf = Settings({"worker_hijack_root_logger": True}, environ={})
    root = logging.getLogger()
    root.addHandler(logging.NullHandler())

    set_up_logging(conf, level="INFO")
    logging.getLogger("a.library").info("of a library")
    LOGGER.info("of celeriac")
    get_task_logger("minding.tasks").info("of a task")

    lines = [line.rpartition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["of a library", "of celeriac", "???[???]: of a task"]
    assert len(root.handlers) == 1


def test_setting_up_a_second_time_does_nothing(conf):
    log = set_up_logging(conf, level="INFO")
    before = list(LOGGER.handlers)

    assert log.setup("DEBUG") is None
    assert (LOGGER.handlers, LOGGER.level) == (before, logging.INFO)


def test_warnings_of_python_are_lines(conf, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    set_up_logging(conf, level="INFO")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("look out", stacklevel=1)

    assert "WARNING/MainProcess]" in capsys.readouterr().err


def test_json_is_for_tasks_too_unless_they_have_a_format_of_their_own(capsys):
    set_up_logging(Settings({"worker_log_format": "json"}, environ={}), level="INFO")
    LOGGER.info("one")
    TASK_LOGGER.info("two")
    own = {"worker_log_format": "json", "worker_task_log_format": "%(message)s"}
    set_up_logging(Settings(own, environ={}), level="INFO")
    TASK_LOGGER.info("three")

    one, two, three = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in (one, two)] == ["one", "two"]
    assert three == "three"


def test_times_are_formatted_as_settings_say(capsys):
    formats = {"worker_log_datefmt": "%Y", "worker_task_log_datefmt": "year %Y"}
    set_up_logging(Settings(formats, environ={}), level="INFO")
    LOGGER.info("one")
    TASK_LOGGER.info("two")

    one, two = capsys.readouterr().err.splitlines()
    assert re.match(r"\[\d{4}: INFO", one)
    assert re.match(r"\[year \d{4}: INFO", two)


def test_what_is_printed_goes_to_a_logger_on_request(conf, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    log = set_up_logging(conf, level="INFO")

    log.redirect_stdouts("ERROR")
    print("printed")
    print("to the other", file=sys.stderr)

    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "ERROR/MainProcess] ???[???]: printed",
        "ERROR/MainProcess] ???[???]: to the other",
    ]


def test_the_names_of_celerys_object_are_there(conf):
    log = set_up_logging(conf, level="INFO")

    assert log.get_default_logger() is LOGGER
    assert log.setup_task_loggers("DEBUG", propagate=True) is TASK_LOGGER
    assert (TASK_LOGGER.level, TASK_LOGGER.propagate) == (logging.DEBUG, True)
    assert log.supports_color(True)
    assert not log.supports_color(None, "a.log")


def test_an_app_has_it():
    app = Celery("shop", set_as_current=False)

    assert isinstance(app.log, Logging)
    assert app.log is app.log
