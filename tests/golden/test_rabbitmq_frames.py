"""The very frames in which a call goes to RabbitMQ: what is declared before, the header table, the body."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp.method_framing import frame_writer
from amqp.serialization import dumps, loads

from celeriac.brokers.amqp.carried import Carried, carry, read_carried
from celeriac.brokers.amqp.dialing import declare
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.amqp.topology import Queue
from tests.golden import vector

METHODS = ("exchange.declare", "queue.declare", "queue.bind", "basic.publish", "content header", "content body")

PROPERTIES_AT = 7 + 12
"""Behind a frame's type, channel and size come class, weight and the body's size."""

MANDATORY = 0x01
"""Ours are sent back when no queue takes them. It is the last bit of the last byte before the frame's end."""


class Wire(amqp.Channel):  # type: ignore[misc]  # the driver has no types
    """A channel that keeps the frames which it would send, and is told what it waits for at once."""

    def __init__(self) -> None:
        self.sent = b""
        transport = SimpleNamespace(write=self._write, having_timeout=lambda timeout: contextlib.nullcontext())
        self.connection = SimpleNamespace(frame_max=131_072, bytes_sent=0, transport=transport, client_properties={})
        self._frames = frame_writer(self.connection, transport)

    def _write(self, view: memoryview) -> None:
        self.sent += bytes(view)

    def send_method(self, sig: Any, format: Any = None, args: Any = None, content: Any = None, **_: Any) -> None:
        self._frames(1, 1, sig, dumps(format, args) if args else b"", content)

    def wait(self, *_: Any, **__: Any) -> tuple[str, int, int]:
        return ("", 0, 0)


def frames(*methods: str) -> list[bytes]:
    return [
        bytes.fromhex(one["frame_hex"])
        for one in vector.load("amqp-frames-publish")["frames"]
        if one["method"] in methods
    ]


def captured() -> Carried:
    """Return the message of the frames, as the driver reads it."""
    [header], [body] = frames("content header"), frames("content body")
    read = amqp.Message()
    read._load_properties(60, header, PROPERTIES_AT)
    properties = dict(read.properties)
    headers = properties.pop("application_headers")
    return Carried(headers, properties, body[7:-1])


def test_nulls_and_lists_of_the_header_table_are_read() -> None:
    headers = captured().headers

    assert (headers["shadow"], headers["timelimit"], headers["stamps"]) == (None, [None, None], {})
    assert headers["ignore_result"] is False
    assert list(headers)[:4] == ["lang", "task", "id", "shadow"]


def test_a_call_is_declared_and_sent_in_the_same_frames() -> None:
    wire = Wire()
    message = read_carried(captured(), queue="celery")
    outgoing = Routes(AmqpOptions()).outgoing(message, now=0.0)

    for need in outgoing.needs:
        declare(wire, need)
    carried = outgoing.carried
    sent = amqp.Message(carried.body, application_headers=carried.headers, **carried.properties)
    wire.basic_publish(sent, outgoing.exchange, outgoing.key, mandatory=outgoing.mandatory)

    [reply_queue, *_] = frames("queue.declare")
    theirs = b"".join(frame for frame in frames(*METHODS) if frame != reply_queue)
    [publish] = frames("basic.publish")
    ours = publish[:-2] + bytes([publish[-2] | MANDATORY]) + publish[-1:]
    assert wire.sent == theirs.replace(publish, ours)


def test_a_queue_for_answers_is_declared_in_the_same_frame() -> None:
    [reply_queue, _] = frames("queue.declare")
    name, _ = loads("s", reply_queue, 13)
    wire = Wire()

    declare(wire, Queue(name=name[0], auto_delete=True, arguments=(("x-expires", 86_400_000),)))

    assert wire.sent == reply_queue


@pytest.mark.parametrize("name", ["amqp-task-basic", "amqp-task-options", "amqp-delayed-task", "amqp-task-chord#0"])
def test_every_table_is_written_byte_for_byte_as_the_driver_of_celery_writes_it(name: str) -> None:
    headers = vector.load(name)["amqp"]["headers"]
    read, _ = loads("F", dumps("F", [headers]), 0)

    again = carry(read_carried(Carried(read[0], {"correlation_id": "x"}, b"[]"), queue="celery"))

    assert dumps("F", [again.headers]) == dumps("F", [headers])
