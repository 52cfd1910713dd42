"""The bus: Celery's control commands, replies and events are read rightly, and written byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from celeriac.brokers.redis.channels import Channels, Inboxes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.wire.jsontypes import dumps
from celeriac.wire.notices import Notice, read_notice, write_notice
from tests.golden import vector

EVENTS = vector.names("event-")
PING = ("control-ping", "control-ping reply")


def load(name: str) -> dict[str, Any]:
    """Return a captured notice; of a question and its answer in one file, `control-ping reply` is the answer."""
    file_name, _, part = name.partition(" ")
    found = vector.load(file_name)
    return found if "redis_raw" in found else found[part or "request"]


def notice_of(name: str) -> Notice:
    return read_notice(load(name)["redis_raw"].encode())[0]


@pytest.mark.parametrize("name", [*EVENTS, *PING])
def test_a_notice_says_what_celery_said(name: str) -> None:
    expected = load(name)["decoded"]

    notice = notice_of(name)

    assert json.loads(notice.body) == expected["body"]
    assert json.loads(notice.headers) == expected["headers"]
    address = {"exchange": notice.exchange, "routing_key": notice.routing_key}
    assert address == expected["properties"]["delivery_info"]
    assert notice.persistent is (expected["properties"]["delivery_mode"] == 2)


@pytest.mark.parametrize("name", [*EVENTS, *PING])
def test_the_same_notice_makes_the_same_bytes(name: str) -> None:
    expected = load(name)
    decoded = expected["decoded"]
    tag = decoded["properties"]["delivery_tag"]
    written = Notice(
        **decoded["properties"]["delivery_info"],
        body=dumps(decoded["body"]),
        headers=dumps(decoded["headers"]),
        persistent=decoded["properties"]["delivery_mode"] == 2,
    )

    assert write_notice(written, delivery_tag=tag).decode() == expected["redis_raw"]
    assert read_notice(expected["redis_raw"].encode()) == (written, tag)


@pytest.mark.parametrize("name", [*EVENTS, "control-ping"])
def test_it_is_said_on_celerys_channel(name: str) -> None:
    found = load(name)
    channels = Channels(read_place("redis://localhost/0", "broker_url"), RedisOptions())

    notice = notice_of(name)

    assert channels.of(notice.exchange, notice.routing_key) == [found.get("redis_channel", found.get("redis_key"))]


def test_an_answer_goes_where_celery_put_it() -> None:
    reply = load("control-ping reply")
    inboxes = Inboxes(Keys())
    notice = notice_of("control-ping reply")

    member = inboxes.member(notice.exchange, notice.routing_key)

    assert inboxes.lists_for([member], notice.routing_key) == [reply["redis_key"].encode()]
    assert inboxes.lists(notice.exchange, notice.routing_key)[0].decode() == reply["redis_key"]


@pytest.mark.parametrize("name", ["control-ping-redis-commands", "control-ping-redis-commands-5.6"])
def test_an_asker_binds_and_removes_what_celerys_does(name: str) -> None:
    commands = [one["command"] for one in vector.load(name)["redis_commands"]]
    bound = next(words for words in commands if words[0] in ("EVALSHA", "SADD"))
    inboxes = Inboxes(Keys())
    pushed = next(words[1] for words in commands if words[0] == "LPUSH")
    routing_key, _, exchange = pushed.partition(".")

    assert inboxes.table(exchange).decode() in bound
    assert inboxes.member(exchange, routing_key).decode() in bound
    removed = [words for words in commands if words[0] in ("SREM", "DEL")]
    assert ["SREM", inboxes.table(exchange).decode(), inboxes.member(exchange, routing_key).decode()] in removed
    assert [["DEL", key.decode()] for key in inboxes.lists(exchange, routing_key)] == removed[-4:]
    asked = next(words for words in commands if words[0] == "BRPOP")
    assert asked[1:-1] == [key.decode() for key in inboxes.lists(exchange, routing_key)]
