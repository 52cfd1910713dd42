from __future__ import annotations

import json
import logging
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.app.context import Context, entered
from celeriac.app.log_formats import JsonFormatter, formatter_of


def a_record(message: str, *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord("shop", level, "f", 1, message, args, None, extra=extra)


@pytest.fixture
def formatter():
    return JsonFormatter(process_name="ForkPoolWorker-1")


def test_a_record_is_one_object_in_one_line(formatter):
    line = formatter.format(a_record("two\nlines of %s", "text"))

    read = json.loads(line)
    assert "\n" not in line
    assert datetime.fromisoformat(read.pop("time")).tzinfo is not None
    assert isinstance(read.pop("pid"), int)
    assert read == {
        "level": "INFO",
        "logger": "shop",
        "process": "ForkPoolWorker-1",
        "message": "two\nlines of text",
    }


def test_it_names_the_run(formatter):
    with entered(Context(id="run-1", task="shop.pay", root_id="root-1", called_directly=False)):
        read = json.loads(formatter.format(a_record("paid")))

    assert (read["task_name"], read["task_id"], read["root_id"]) == ("shop.pay", "run-1", "root-1")


def test_it_has_what_was_given_as_extra_which_replaces_nothing(formatter):
    read = json.loads(formatter.format(a_record("paid", data={"id": 1}, level_of_trust=2, logger="mine", when={1, 2})))

    assert (read["data"], read["level_of_trust"], read["logger"]) == ({"id": 1}, 2, "shop")


def test_it_has_the_traceback(formatter):
    try:
        raise KeyError("no")
    except KeyError:
        record = logging.getLogger("shop").makeRecord("shop", logging.ERROR, "f", 1, "bad", (), sys.exc_info())

    assert json.loads(formatter.format(record))["exception"].endswith("KeyError: 'no'")


@pytest.mark.parametrize("value", [object(), {object(): 1}, float("nan"), 10**400, b"\xff", "\udc80", [[[[[[1]]]]]]])
def test_no_value_makes_it_fail(formatter, value):
    assert json.loads(formatter.format(a_record("m", value=value)))["message"] == "m"


def test_text_that_is_no_unicode_does_not_either(formatter):
    assert "x" in json.loads(formatter.format(a_record("x\udc80")))["message"]


@given(st.text(), st.dictionaries(st.text(min_size=1), st.none() | st.integers() | st.text() | st.floats()))
def test_any_text_and_extra_is_one_readable_line(message, extra):
    known = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    record = a_record(message.replace("%", "%%"), **{key: extra[key] for key in extra if key not in known})

    line = JsonFormatter(process_name="p").format(record)

    assert isinstance(json.loads(line)["message"], str)
    assert len(line.splitlines()) == 1 or not line.isascii()  # splitlines knows more ends than logs do
    assert "\n" not in line


def test_times_may_be_formatted():
    formatter = JsonFormatter(process_name="p", datefmt="%Y")

    assert json.loads(formatter.format(a_record("m")))["time"] == str(datetime.now().year)


def test_a_format_of_json_or_text_is_told_by_its_name():
    kinds = [
        type(formatter_of(line, process_name="p", color=False, datefmt=None)).__name__
        for line in ("json", "%(message)s")
    ]

    assert kinds == ["JsonFormatter", "LineFormatter"]


def test_text_has_the_fields_and_the_format_of_times():
    formatter = formatter_of("%(asctime)s %(task_id)s %(message)s", process_name="p", color=False, datefmt="%Y")

    assert formatter.format(a_record("m")) == f"{datetime.now().year} ??? m"
