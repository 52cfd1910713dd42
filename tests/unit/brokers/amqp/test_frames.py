from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import amqp
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header
from pamqp.body import ContentBody

from celeriac.brokers.amqp.frames import (
    UNREAD,
    Delivered,
    Deliveries,
    acks,
    frame_at,
    give_backs,
    read_properties,
    unread,
)

CHANNEL = 7

HEADERS = {
    "task": "shop.pay",
    "id": "9f1c",
    "eta": None,
    "retries": 0,
    "large": 2**40,
    "timelimit": [300, 5.5],
    "ignore_result": False,
    "stamps": {"by": ["ann", "bob"], "deeper": {"x": None}},
    "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "price": Decimal("-1.50"),
    "naïve": "日本",
}

PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "9f1c",
    "reply_to": "answers",
    "expiration": "60000",
    "message_id": "m1",
    "timestamp": datetime(2026, 1, 2, tzinfo=UTC),
    "type": "kind",
    "user_id": "guest",
    "app_id": "shop",
}


def written(headers: dict, properties: dict) -> bytes:
    return bytes(amqp.Message(b"", application_headers=headers, **properties)._serialize_properties())


def delivery_frames(
    tag: int, body: bytes, *, redelivered: bool = False, pieces: int = 1, channel: int = CHANNEL
) -> bytes:
    method = commands.Basic.Deliver("consumer", tag, redelivered, "exchange", "key")
    properties = commands.Basic.Properties(headers={"n": tag}, priority=3)
    content = header.ContentHeader(body_size=len(body), properties=properties)
    step = max(1, math.ceil(len(body) / pieces))
    parts = [ContentBody(body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join(pamqp.frame.marshal(one, channel) for one in (method, content, *parts))


def put_together(data: bytes) -> list[Delivered]:
    found: list[Delivered] = []
    deliveries = Deliveries(found.append)
    at = 0
    while at < len(data):
        kind, _, end = frame_at(data, at)
        assert deliveries.take(kind, data, at + 7, end - 1)
        at = end
    return found


def test_properties_are_read_as_clients_write_them():
    carried = read_properties(written(HEADERS, PROPERTIES), b"body")

    assert carried.headers == HEADERS
    assert carried.properties == PROPERTIES
    assert carried.body == b"body"


@pytest.mark.parametrize("left_out", PROPERTIES)
def test_a_property_that_is_not_there_moves_no_other(left_out):
    said = {name: value for name, value in PROPERTIES.items() if name != left_out}

    assert read_properties(written({"a": 1}, said), b"").properties == said


def test_numbers_of_all_widths_are_read():
    raw = b"".join(
        (
            b"\x01bb\xff\x01BB\xff\x01ss\xff\xfe\x01UU\xff\xfe\x01uu\xff\xfe\x01II\xff\xff\xff\xfe",
            b"\x01ii\xff\xff\xff\xfe\x01ll\xff\xff\xff\xff\xff\xff\xff\xfe\x01LL\x00\x00\x00\x00\x00\x00\x00\x09",
            b"\x01ff\x3f\xc0\x00\x00\x01xx\x00\x00\x00\x02\xff\x00\x01SS\x00\x00\x00\x01\xff",
        )
    )
    data = b"\x20\x00" + len(raw).to_bytes(4) + raw

    said = read_properties(data, b"").headers

    assert {name: said.pop(name) for name in "xS"} == {"x": b"\xff\x00", "S": b"\xff"}
    signed = dict.fromkeys("sUIl", -2) | {"b": -1}
    assert said == signed | {"B": 255, "u": 0xFFFE, "i": 0xFFFFFFFE, "L": 9, "f": 1.5}


@given(st.binary(max_size=200))
def test_what_cannot_be_read_is_kept_whole(data):
    carried = read_properties(b"\xff\xf8" + data, b"body")

    assert carried.body == b"body"
    assert UNREAD not in carried.headers or carried.headers == unread(b"\xff\xf8" + data)


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 1_000])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_delivery_is_put_together_from_its_frames(body, pieces):
    [found] = put_together(delivery_frames(2**40, body, redelivered=True, pieces=pieces))

    assert (found.consumer, found.tag, found.redelivered) == ("consumer", 2**40, True)
    assert (found.exchange, found.key) == ("exchange", "key")
    assert found.carried.body == body
    assert found.carried.headers == {"n": 2**40}
    assert found.carried.properties == {"priority": 3}


def test_other_frames_are_left_to_the_driver():
    taken = []
    deliveries = Deliveries(taken.append)
    for one in (commands.Basic.CancelOk("c"), ContentBody(b"of another message"), commands.Channel.Close(406, "no")):
        data = pamqp.frame.marshal(one, CHANNEL)
        kind, channel, end = frame_at(data, 0)

        assert channel == CHANNEL
        assert end == len(data)
        assert not deliveries.take(kind, data, 7, end - 1)
    assert taken == []


def test_acknowledgements_are_written_as_the_driver_writes_them():
    both = [commands.Basic.Ack(9, multiple=True), commands.Basic.Ack(2**33)]

    assert acks(CHANNEL, [2**33], upto=9) == b"".join(pamqp.frame.marshal(one, CHANNEL) for one in both)
    assert acks(CHANNEL, [], upto=None) == b""


def test_giving_back_is_written_as_the_driver_writes_it():
    nacks = [commands.Basic.Nack(tag, multiple=False, requeue=True) for tag in (1, 300)]

    assert give_backs(CHANNEL, [1, 300]) == b"".join(pamqp.frame.marshal(one, CHANNEL) for one in nacks)
