from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac import Celery
from celeriac.app.events import task_events
from celeriac.message import Message
from celeriac.wire.events import fault_of
from celeriac.wire.jsontypes import dumps
from celeriac.wire.limits import DEFAULT_LIMITS

HEAD = task_events.head_of("w1@here", utcoffset=0.0, pid=4)


def read(says: task_events.Says, uuid: str = "id-1") -> dict[str, Any]:
    text = task_events.event(HEAD, 7, task_events.quoted(uuid), says, 1000.5)
    found: dict[str, Any] = json.loads(text)
    assert fault_of(found) is None
    return found


def message(headers: bytes | None = None, body: bytes = b"[[], {}, {}]", **more: Any) -> Message:
    told = {"task": "add", "id": "id-1", "argsrepr": "(1, 2)", "kwargsrepr": "{}", "retries": 2}
    return Message(task_id="id-1", queue="celery", headers=headers or dumps(told), body=body, **more)


def received(of: Message, task: Any = None) -> dict[str, Any]:
    return read(task_events.received(of, "add", task, limits=DEFAULT_LIMITS))


def test_headers_say_what_was_received():
    event = received(message())

    assert (event["name"], event["args"], event["kwargs"], event["retries"]) == ("add", "(1, 2)", "{}", 2)
    assert (event["hostname"], event["pid"], event["clock"], event["timestamp"]) == ("w1@here", 4, 7, 1000.5)
    assert event["eta"] is event["expires"] is event["root_id"] is None


HOSTILE = {
    "no JSON": b"{",
    "not UTF-8": b'{"argsrepr": "\xff"}',
    "numbers for texts": b'{"argsrepr": 7, "shadow": [1]}',
    "a lone surrogate": b'{"argsrepr": "\\ud800"}',
    "nothing": b"{}",
}


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=list(HOSTILE))
def test_headers_that_say_nonsense_make_an_event_all_the_same(headers):
    event = received(message(headers, body=b"[[3], {}, {}]"))

    assert event["name"] == "add"


def test_long_texts_are_cut():
    event = received(message(dumps({"argsrepr": "x" * 100_000, "shadow": "y" * 100_000})))

    assert len(json.dumps(event)) < 10_000


@pytest.mark.parametrize("text", ["id-1", 'a"b\\c', "日本", "\x00\x1b", "\ud800"])
def test_every_id_is_quoted(text):
    assert json.loads(task_events.quoted(text)) == text


def test_sensitive_arguments_are_hidden_even_where_the_sender_shows_them():
    app = Celery("shop", set_as_current=False)

    @app.task(name="add", sensitive=("card",))
    def pay(amount, card):
        return None

    event = received(message(body=b'[[5, "4111"], {}, {}]'), pay)
    unreadable = received(message(body=b"pickle", content_type="application/x-python-serialize"), pay)

    assert event["args"] == "(5, '<hidden>')"
    assert "4111" not in json.dumps(unreadable)
    assert unreadable["args"] == "<hidden>"


def test_what_was_raised_is_shown_within_bounds():
    class Broken(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    event = read(task_events.failed(task_events.told_failure(Broken(), "x" * 100_000)))

    assert "Broken" in event["exception"]
    assert len(event["traceback"]) < 20_000


def test_what_was_sent_names_the_queue():
    says = task_events.told_sent(message(), {}, limits=DEFAULT_LIMITS)

    assert says is not None
    assert (read(says)["queue"], read(says)["routing_key"], read(says)["exchange"]) == ("celery", "celery", "")
    assert task_events.told_sent(message(b"{"), {}, limits=DEFAULT_LIMITS) is None
