from __future__ import annotations

import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.wire.control import Command, answers_of, commands_of, ids_in, read_command, signal_name, write_command
from celeriac.wire.jsontypes import dumps
from celeriac.wire.notices import Notice

names = st.text(min_size=1, max_size=20)

commands = st.builds(
    Command,
    method=names,
    arguments=st.dictionaries(names, st.none() | st.booleans() | st.integers(-9, 9) | names, max_size=3),
    destination=st.lists(names, max_size=3).map(tuple),
    pattern=st.none() | names,
    matcher=st.none() | st.sampled_from(["glob", "pcre"]),
)


@given(commands)
def test_a_command_is_read_as_it_was_written(command):
    assert read_command(write_command(command, exchange="celery.pidbox")) == command


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"5",
        b"[]",
        b"{}",
        b'{"method": null}',
        b'{"method": "revoke", "arguments": [1]}',
        b'{"method": "revoke", "destination": 5}',
        b"[" * 200_000,
        b"\xff",
    ],
)
def test_what_is_no_command_is_an_error(body):
    with pytest.raises(DecodeError):
        read_command(Notice(exchange="celery.pidbox", body=body))


def test_a_pickle_is_not_opened():
    with pytest.raises(DecodeError, match="JSON here"):
        read_command(Notice(exchange="celery.pidbox", body=b"x", content_type="application/x-python-serialize"))


def test_fields_of_a_wrong_kind_are_not_said():
    body: dict[str, object] = {
        "method": "ping",
        "arguments": None,
        "pattern": 5,
        "matcher": [],
        "ticket": 7,
        "reply_to": "x",
    }

    assert read_command(Notice(exchange="celery.pidbox", body=dumps(body))) == Command(method="ping")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, True),
        ({"destination": ("w1@host",)}, True),
        ({"destination": ("w2@host", "w1@host")}, True),
        ({"destination": ("w2@host",)}, False),
        ({"destination": ("w2@host",), "pattern": "*", "matcher": "glob"}, False),
        ({"pattern": "w?@*", "matcher": "glob"}, True),
        ({"pattern": "w1", "matcher": "glob"}, False),
        ({"pattern": "w1", "matcher": "pcre"}, True),
        ({"pattern": "1@", "matcher": "pcre"}, False),
        ({"pattern": "w2"}, True),
        ({"pattern": "(", "matcher": "pcre"}, False),
        ({"pattern": "w1@host", "matcher": "other"}, False),
        ({"pattern": "w1@host" + "|x" * 200, "matcher": "pcre"}, False),
    ],
)
def test_a_command_is_for_the_nodes_that_it_names(said, expected):
    command = Command(method="revoke", **said)

    assert command.is_for("w1@host") is expected
    assert command.is_for_all is not ("destination" in said or "matcher" in said)


def test_the_exchanges_are_those_of_celery():
    assert (commands_of("celery"), answers_of("celery")) == ("celery.pidbox", "reply.celery.pidbox")


@pytest.mark.parametrize(
    ("named", "ids"), [("id-1", ["id-1"]), (["b", "a", "b"], ["b", "a"]), (("a",), ["a"]), ("x" * 255, ["x" * 255])]
)
def test_ids_are_one_or_many(named, ids):
    assert ids_in(named) == ids


@pytest.mark.parametrize(
    "named", [None, "", [], 5, [5], ["a", None], [""], {"a": 1}, "x" * 256, [["a"]], ["a"] * 50_001]
)
def test_what_are_no_ids_is_an_error(named):
    with pytest.raises(DecodeError, match="task_id must be an id"):
        ids_in(named)


@pytest.mark.parametrize("number", list(signal.Signals))
def test_each_signal_is_known_by_name_and_number(number):
    for given_name in (number.name, number.name.lower(), number.name[3:], int(number), str(int(number))):
        assert signal_name(given_name) == number.name


@pytest.mark.parametrize("wrong", ["", "SIG", "SIGNOPE", -1, 0, 10_000, 1.0, True, ["SIGTERM"]])
def test_others_are_no_signals(wrong):
    with pytest.raises(ValueError, match="there is no signal"):
        signal_name(wrong)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("w1@host", True),
        (r"w\d@", True),
        ("(w|x)1@.*", True),
        ("^w[0-9]+@(host|other)$", True),
        ("w1@host.+", False),
        ("x", False),
        (r"w1@(?:host)?", True),
        ("(", False),
    ],
)
def test_a_regular_expression_names_nodes(pattern: str, matches: bool) -> None:
    assert Command(method="ping", pattern=pattern, matcher="pcre").is_for("w1@host") is matches


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|a)*b", "(.*)*x", ".*.*.*.*.*x", "(a?){99}b", "a?" * 60 + "a" * 60, "(?:a|b|ab)*c", "((a))+c"],
)
def test_one_that_could_take_for_ever_names_nobody(pattern: str) -> None:
    began = time.process_time()

    assert not Command(method="ping", pattern=pattern, matcher="pcre").is_for("a" * 200)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("pattern", ["*a" * 100, "[" * 200, "*" * 255, "?" * 255])
def test_a_shell_pattern_is_soon_decided(pattern: str) -> None:
    began = time.process_time()

    Command(method="ping", pattern=pattern, matcher="glob").is_for("a" * 200)

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("headers", "clock"),
    [
        (b"{}", 0),
        (b'{"clock": 7}', 7),
        (b'{"clock": -1}', 0),
        (b'{"clock": "7"}', 0),
        (b'{"clock": 1e99}', 0),
        (b"?", 0),
    ],
)
def test_a_clock_counts_when_it_can_be_read(headers: bytes, clock: int) -> None:
    notice = Notice(exchange="celery.pidbox", body=b'{"method": "ping"}', headers=headers)

    assert read_command(notice).clock == clock
