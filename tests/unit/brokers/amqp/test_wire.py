from __future__ import annotations

import asyncio
import random

import pamqp.frame
import pytest
from pamqp import commands
from yarl import URL

from celeriac.brokers.amqp.frames import HEARTBEAT, Delivered
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.wire import Reader, Wire
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


class Server:
    """Be a server that says what it is told to say, every now and then, from when on somebody is connected."""

    def __init__(self, *, says: bytes) -> None:
        self._says = says
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.create_task(self._talk(writer)))
        await reader.read()
        writer.close()

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(self._says)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("looks", [4, 0.5])
async def test_a_connection_whose_server_gives_no_sign_of_life_is_ended(looks, caplog):
    async with Server(says=b"") as server:
        wire = Wire(AmqpOptions())
        reader, writer = await wire.create(URL.build(scheme="amqp", host="127.0.0.1", port=server.port))

        wire.end_when_silent(0.1, looks)

        assert await reader.read() == b"", "the driver sees that the connection has ended"
        assert "no sign of life" in caplog.text
        writer.close()


@pytest.mark.parametrize(("says", "heartbeat", "looks"), [(HEARTBEAT, 0.4, 4), (b"", 0, 4), (b"", 0.02, 0)])
async def test_no_connection_is_ended_whose_server_lives_or_was_not_asked_for_signs(says, heartbeat, looks):
    async with Server(says=says) as server:
        wire = Wire(AmqpOptions())
        _, writer = await wire.create(URL.build(scheme="amqp", host="127.0.0.1", port=server.port))

        wire.end_when_silent(heartbeat, looks)
        await asyncio.sleep(1.2)

        assert not writer.is_closing()
        writer.close()
