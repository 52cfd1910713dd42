"""Control commands: what Celery's clients and workers say is read rightly, and ours is what theirs would be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.wire.control import Command, read_answer, read_command, write_answer, write_command
from celeriac.wire.notices import Notice, read_notice
from tests.golden import vector

NAMES = [name for name in vector.names("control-") if vector.load(name).get("request")]


def parts_of(name: str) -> dict[str, Any]:
    """Return a captured question, and its answer if it was captured."""
    found: dict[str, Any] = vector.load(name)
    return {part: found[part] for part in ("request", "reply") if found.get(part)} or {"request": found}


def notice_of(captured: dict[str, Any]) -> Notice:
    return read_notice(captured["redis_raw"].encode())[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_of_celery_is_read(name: str) -> None:
    request = parts_of(name)["request"]
    said = request["decoded"]["body"]

    command = read_command(notice_of(request))

    assert (command.method, command.arguments) == (said["method"], said["arguments"])
    assert list(command.destination) == (said["destination"] or [])
    assert command.ticket == said.get("ticket")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_of_ours_has_the_same_body(name: str) -> None:
    request = parts_of(name)["request"]
    notice = notice_of(request)

    again = write_command(read_command(notice), exchange="celery.pidbox", expires_at=1.0)

    assert again.body == notice.body
    assert (again.exchange, again.routing_key, again.persistent) == ("celery.pidbox", "", notice.persistent)
    assert json.loads(again.headers).keys() == json.loads(notice.headers).keys()


@pytest.mark.parametrize("name", [name for name in NAMES if "reply" in parts_of(name)])
def test_an_answer_is_read_and_written(name: str) -> None:
    captured = parts_of(name)
    command = read_command(notice_of(captured["request"]))
    notice = notice_of(captured["reply"])
    said = captured["reply"]["decoded"]["body"]

    [(node, value)] = said.items()
    again = write_answer(command, node, value)

    assert command.ticket is not None
    assert read_answer(notice, command.ticket) == said
    assert read_answer(notice, "another") is None
    assert again is not None
    assert again.body == notice.body
    assert (again.exchange, again.routing_key) == (notice.exchange, notice.routing_key)
    assert json.loads(again.headers)["ticket"] == command.ticket


def test_no_answer_is_written_where_none_is_wanted() -> None:
    assert write_answer(Command(method="ping"), "w1@host", {"ok": "pong"}) is None
