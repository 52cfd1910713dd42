from __future__ import annotations

import asyncio
import random

import pamqp.frame
from pamqp import commands

from celeriac.brokers.amqp.frames import HEARTBEAT, Delivered
from celeriac.brokers.amqp.wire import Reader
from tests.unit.brokers.amqp.test_frames import CHANNEL, delivery_frames

OTHERS = [
    pamqp.frame.marshal(commands.Basic.CancelOk("c"), CHANNEL),
    HEARTBEAT,
    delivery_frames(1, b"of a channel that nobody watches", channel=CHANNEL + 1),
]


async def fed(data: bytes, *, size: int) -> tuple[list[Delivered], bytes]:
    """Feed a reader in pieces of a size; return what it has handed over, and what it has passed on."""
    found: list[Delivered] = []
    reader = Reader(asyncio.get_running_loop())
    reader.watch(CHANNEL, found.append)
    reader._passed_at = reader._clock() + 60
    for at in range(0, len(data), size):
        reader.feed_data(data[at : at + size])
    reader.feed_eof()
    return found, await reader.read()


async def test_deliveries_are_taken_out_however_the_bytes_arrive():
    chooser = random.Random(8)
    parts = [*(delivery_frames(tag, b"x" * tag * 10) for tag in range(1, 40)), *OTHERS]
    chooser.shuffle(parts)
    data = b"".join(parts)

    for size in (1, 7, 8, 64, 1_000, len(data)):
        found, passed_on = await fed(data, size=size)

        assert sorted(one.tag for one in found) == list(range(1, 40))
        assert all(len(one.carried.body) == one.tag * 10 for one in found)
        assert passed_on == b"".join(part for part in parts if part in OTHERS)


async def test_a_message_that_cannot_be_received_stops_no_other(caplog):
    found = []

    def receive(message: Delivered) -> None:
        if message.tag == 1:
            raise RuntimeError("no")
        found.append(message.tag)

    reader = Reader(asyncio.get_running_loop())
    reader.watch(CHANNEL, receive)

    reader.feed_data(delivery_frames(1, b"a") + delivery_frames(2, b"b"))

    assert found == [2]
    assert "stays with the server" in caplog.text


async def test_the_driver_sees_a_sign_of_life_while_only_messages_come():
    reader = Reader(asyncio.get_running_loop())
    reader.watch(CHANNEL, lambda message: None)
    reader._passed_at = reader._clock() - 60

    reader.feed_data(delivery_frames(1, b"a"))
    reader.feed_data(delivery_frames(2, b"b"))

    reader.feed_eof()
    assert await reader.read() == HEARTBEAT


async def test_what_is_no_frame_goes_to_the_driver():
    reader = Reader(asyncio.get_running_loop())

    reader.feed_data(b"AMQP\x00\x00\x09\x01")

    assert await reader.readexactly(8) == b"AMQP\x00\x00\x09\x01"
