from __future__ import annotations

import math
import struct
from typing import Any

import pamqp.frame
import pytest
from pamqp import commands, header
from pamqp.body import ContentBody

from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.frames import Answers, Delivered, Deliveries, Got, acks, frame_at, give_backs, publishing
from celeriac.brokers.amqp.tables import unread
from celeriac.exceptions import EncodeError
from tests.tables_by_hand import BROKEN, HOSTILE, Raw

CHANNEL = 7


def delivery_frames(
    tag: int, body: bytes, *, redelivered: bool = False, pieces: int = 1, channel: int = CHANNEL
) -> bytes:
    method = commands.Basic.Deliver("consumer", tag, redelivered, "exchange", "key")
    properties = commands.Basic.Properties(headers={"n": tag}, priority=3)
    content = header.ContentHeader(body_size=len(body), properties=properties)
    step = max(1, math.ceil(len(body) / pieces))
    parts = [ContentBody(body[at : at + step]) for at in range(0, len(body), step)]
    frames: list[Any] = [method, content, *parts]
    return b"".join(pamqp.frame.marshal(one, channel) for one in frames)


def put_together(data: bytes) -> list[Delivered]:
    found: list[Delivered] = []
    deliveries = Deliveries(found.append)
    at = 0
    while at < len(data):
        kind, _, end = frame_at(data, at)
        assert deliveries.take(kind, data, at + 7, end - 1)
        at = end
    return found


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 1_000])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_delivery_is_put_together_from_its_frames(body, pieces):
    [found] = put_together(delivery_frames(2**40, body, redelivered=True, pieces=pieces))

    assert (found.consumer, found.tag, found.redelivered) == ("consumer", 2**40, True)
    assert (found.exchange, found.key) == ("exchange", "key")
    assert found.carried.body == body
    assert found.carried.headers == {"n": 2**40}
    assert found.carried.properties == {"priority": 3}


def got(*frames: Any) -> list[Got | None]:
    """Return the answers that frames have, each of which must belong to one."""
    found: list[Got | None] = []
    answers = Answers(found.append)
    for frame in frames:
        data = frame if isinstance(frame, bytes) else pamqp.frame.marshal(frame, CHANNEL)
        kind, _, end = frame_at(data, 0)
        assert answers.take(kind, data, 7, end - 1)
    return found


def test_answers_are_put_together_from_their_frames():
    ok = commands.Basic.GetOk(2**40, redelivered=True, exchange="exchange", routing_key="key", message_count=70_000)
    content = header.ContentHeader(body_size=3, properties=commands.Basic.Properties(headers={"n": 1}))

    found = got(ok, content, ContentBody(b"x"), ContentBody(b"yz"), commands.Basic.GetEmpty(), ok, content)

    [whole, nothing] = found
    assert nothing is None
    assert whole is not None
    assert whole.left == 70_000
    message = whole.message
    assert (message.tag, message.redelivered, message.exchange, message.key) == (2**40, True, "exchange", "key")
    assert (message.carried.headers, message.carried.body) == ({"n": 1}, b"xyz")


@pytest.mark.parametrize("table", [*HOSTILE.values(), *BROKEN.values()], ids=[*HOSTILE, *BROKEN])
def test_an_answer_whose_headers_nobody_can_read_is_one(table):
    properties = Raw(b"", table, correlation_id="9f1c")._serialize_properties()
    content = struct.pack(">BHIHHQ", 2, CHANNEL, 12 + len(properties), 60, 0, 1) + properties + b"\xce"
    ok = commands.Basic.GetOk(1, redelivered=False, exchange="", routing_key="q", message_count=0)

    [found] = got(ok, content, ContentBody(b"x"))

    assert found is not None
    assert found.message.carried == Carried(unread(properties), {"correlation_id": "9f1c"}, b"x")


def test_what_is_no_answer_is_left_to_the_driver():
    answers = Answers(lambda _: pytest.fail("it is none"))
    returned = commands.Basic.Return(312, "NO_ROUTE", "", "q")
    content = header.ContentHeader(body_size=1, properties=commands.Basic.Properties())

    for one in (returned, content, ContentBody(b"x"), commands.Channel.Close(404, "no", 0, 0)):
        data = pamqp.frame.marshal(one, CHANNEL)
        kind, _, end = frame_at(data, 0)
        assert not answers.take(kind, data, 7, end - 1)


def test_other_frames_are_left_to_the_driver():
    taken: list[Delivered] = []
    deliveries = Deliveries(taken.append)
    others: list[Any] = [commands.Basic.CancelOk("c"), ContentBody(b"x"), commands.Channel.Close(406, "no", 0, 0)]
    for one in others:
        data = pamqp.frame.marshal(one, CHANNEL)
        kind, channel, end = frame_at(data, 0)

        assert channel == CHANNEL
        assert end == len(data)
        assert not deliveries.take(kind, data, 7, end - 1)
    assert taken == []


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 500])
@pytest.mark.parametrize("mandatory", [True, False])
def test_what_is_published_is_written_as_a_driver_writes_it(body, mandatory):
    said = Outgoing(Carried({"n": 1}, {"priority": 3}, body), "exchange", "key", mandatory=mandatory)

    data = publishing(CHANNEL, said, frame_max=200)

    frames: list[Any] = []
    while data:
        used, channel, frame = pamqp.frame.unmarshal(data)
        assert channel == CHANNEL
        assert used <= 200
        frames.append(frame)
        data = data[used:]
    method, content, *parts = frames
    assert (method.exchange, method.routing_key, method.mandatory) == ("exchange", "key", mandatory)
    assert (content.body_size, content.properties.headers, content.properties.priority) == (len(body), {"n": 1}, 3)
    assert b"".join(part.value for part in parts) == body


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"key": "k" * 256}, "256 bytes, and 255 is the most"),
        ({"carried": Carried({"n": "x" * 300}, {}, b"")}, "headers of a message are .* bytes"),
        ({"carried": Carried({"n": 2**64}, {}, b"")}, "cannot carry headers"),
        ({"carried": Carried({}, {"app_id": "x" * 300}, b"")}, "cannot carry app_id"),
        ({"carried": Carried({}, {"priority": 300}, b"")}, "cannot carry priority"),
    ],
)
def test_what_amqp_cannot_carry_is_named(changes, text):
    said = Outgoing(**{"carried": Carried({}, {}, b""), "exchange": "", "key": "q", **changes})

    with pytest.raises(EncodeError, match=text):
        publishing(CHANNEL, said, frame_max=200)


def test_acknowledgements_are_written_as_the_driver_writes_them():
    both = [commands.Basic.Ack(9, multiple=True), commands.Basic.Ack(2**33)]

    assert acks(CHANNEL, [2**33], upto=9) == b"".join(pamqp.frame.marshal(one, CHANNEL) for one in both)
    assert acks(CHANNEL, [], upto=None) == b""


def test_giving_back_is_written_as_the_driver_writes_it():
    nacks = [commands.Basic.Nack(tag, multiple=False, requeue=True) for tag in (1, 300)]

    assert give_backs(CHANNEL, [1, 300]) == b"".join(pamqp.frame.marshal(one, CHANNEL) for one in nacks)
