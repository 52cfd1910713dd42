from __future__ import annotations

import json

import pytest

from celeriac.message import OnConflict, Unique
from celeriac.wire.protocol import Call, read_intake, read_request, write_message
from celeriac.wire.protocol1 import write_message_1
from celeriac.wire.unique import unique_of

UNIQUE = Unique(key="shop.pay:7", lasts=60.0, on_conflict=OnConflict.RAISE)


def call(**more) -> Call:
    return Call(task="shop.pay", id="id-1", queue="q", args=(7,), **more)


@pytest.mark.parametrize(
    "more",
    [{}, {"headers": {"tenant": "t"}}, {"compression": "gzip"}, {"serializer": "yaml"}, {"shadow": "\ud800"}],
)
@pytest.mark.parametrize("protocol", [1, 2])
def test_a_unique_call_says_its_key_in_a_header(protocol, more):
    made = call(unique=UNIQUE, **more)
    message = write_message(made, origin="gen1@host") if protocol == 2 else write_message_1(made)

    assert message.unique == UNIQUE
    assert json.loads(message.headers)["celeriac_unique"] == {"key": "shop.pay:7", "for": 60.0}
    assert unique_of(message.headers) == Unique(key="shop.pay:7", lasts=60.0, on_conflict=OnConflict.KEEP)


def test_a_node_reads_the_key_with_what_it_decides_on():
    assert read_intake(write_message(call(unique=UNIQUE), origin="o")).unique_key == "shop.pay:7"
    assert read_intake(write_message_1(call(unique=UNIQUE))).unique_key == "shop.pay:7"
    assert read_intake(write_message(call(), origin="o")).unique_key is None


def test_the_key_is_read_beside_headers_that_only_the_slow_way_reads():
    fields = json.loads(write_message(call(unique=UNIQUE), origin="o").headers)
    fields["eta"] = {"__type__": "datetime", "__value__": "2030-01-01T00:00:00+00:00"}
    message = write_message(call(), origin="o")
    message = type(message)(task_id="id-1", queue="q", headers=json.dumps(fields).encode(), body=message.body)

    intake = read_intake(message)

    assert intake.unique_key == "shop.pay:7"
    assert intake.eta_at is not None


def test_other_headers_are_what_they_were():
    request = read_request(write_message(call(unique=UNIQUE, headers={"tenant": "t"}), origin="o"))

    assert request.headers["tenant"] == "t"
    assert (request.task, request.id, request.args) == ("shop.pay", "id-1", [7])


@pytest.mark.parametrize(
    "value",
    [None, 7, "key", {"key": "", "for": 1}, {"key": "k"}, {"key": "k", "for": 0}, {"key": "k" * 3000, "for": 1}],
)
def test_what_strangers_put_there_is_no_key(value):
    fields = json.loads(write_message(call(), origin="o").headers) | {"celeriac_unique": value}
    headers = json.dumps(fields).encode()
    message = write_message(call(), origin="o")
    message = type(message)(task_id="id-1", queue="q", headers=headers, body=message.body)

    assert unique_of(headers) is None
    assert read_intake(message).unique_key is None
    assert read_intake(message).id == "id-1"
