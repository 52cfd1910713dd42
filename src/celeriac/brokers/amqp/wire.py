"""A worker's connection as the driver sees it, but for deliveries, which are taken out before."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, SupportsIndex

import aiormq
from aiormq.connection import TransportFactory

from celeriac.brokers.amqp.frames import HEAD_BYTES, HEARTBEAT, Delivered, Deliveries, frame_at
from celeriac.brokers.amqp.options import AmqpOptions

logger: Final = logging.getLogger("celeriac.amqp")

_FRAME_TYPES: Final = (1, 2, 3, 8)
_SIGN_OF_LIFE_EVERY: Final = 1.0
_HEARTBEATS_MISSED: Final = 2


class Reader(asyncio.StreamReader):
    """Pass on to the driver what arrives, frame by frame, and take the deliveries of some channels out.

    Attributes:
        arrivals: how often something has arrived.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._clock = loop.time
        self._rest = b""
        self._watched: dict[int, Deliveries] = {}
        self._passed_at = 0.0
        self.arrivals = 0

    def watch(self, channel: int, deliver: Callable[[Delivered], None]) -> None:
        """Hand the deliveries of a channel over as they arrive."""
        self._watched[channel] = Deliveries(deliver)

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        assert isinstance(data, (bytes, bytearray)), "transports give nothing else"
        self.arrivals += 1
        data = self._rest + data if self._rest else bytes(data)
        size, at, taken = len(data), 0, 0
        watched = self._watched
        while size - at > HEAD_BYTES:
            kind, channel, end = frame_at(data, at)
            if kind not in _FRAME_TYPES:  # the driver finds out that this is no server of AMQP
                end = size
            if end > size:
                break
            deliveries = watched.get(channel)
            if deliveries is not None and self._taken(deliveries, kind, data, at, end):
                self._pass_on(data[taken:at])
                taken = end
            at = end
        self._pass_on(data[taken:at])
        self._rest = data[at:]
        if taken and self._clock() - self._passed_at > _SIGN_OF_LIFE_EVERY:
            self._pass_on(HEARTBEAT)  # the server sends none while it sends messages, and the driver waits for them

    def _taken(self, deliveries: Deliveries, kind: int, data: bytes, at: int, end: int) -> bool:
        try:
            return deliveries.take(kind, data, at + HEAD_BYTES, end - 1)
        except Exception:
            logger.exception("a message could not be received; it stays with the server until this connection ends")
            return True

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._passed_at = self._clock()
            super().feed_data(data)


class Wire(TransportFactory):
    """Make one connection as the driver asks, and keep hold of both its ends."""

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._reader: Reader
        self._writer: asyncio.StreamWriter

    async def create(self, url: Any, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        options = self._options
        reader = self._reader = Reader(loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        hostname = None if options.tls is None else options.tls_hostname or url.host
        try:
            transport, _protocol = await loop.create_connection(
                lambda: protocol, host=url.host, port=url.port, ssl=options.tls, server_hostname=hostname
            )
        except OSError as error:
            raise aiormq.exceptions.AMQPConnectionError(*error.args) from error
        sock = transport.get_extra_info("socket")
        for option, value in options.socket_settings:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        writer = self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return reader, writer

    def watch(self, channel: int, deliver: Callable[[Delivered], None]) -> None:
        """Hand the deliveries of a channel over as they arrive."""
        self._reader.watch(channel, deliver)

    def end_when_silent(self, heartbeat: float, looks: float) -> None:
        """End the connection when the server has given no sign of life during two heartbeats.

        Looks count, not time: when this process was stopped there may be much to read first.

        Args:
            heartbeat: seconds within which the server gives one; 0: it gives none.
            looks: how often to look during that time; 0: never.
        """
        loop = asyncio.get_running_loop()
        reader, transport = self._reader, self._writer.transport
        seen, silent = reader.arrivals, 0

        def look() -> None:
            nonlocal seen, silent
            silent = silent + 1 if reader.arrivals == seen else 0
            seen = reader.arrivals
            if transport.is_closing():
                return
            if silent >= _HEARTBEATS_MISSED * looks:
                logger.warning("rabbitmq has given no sign of life for %.1f s; connecting anew", silent * every)
                transport.abort()
            else:
                loop.call_later(every, look)

        if heartbeat > 0 and looks > 0:
            every = heartbeat / looks
            loop.call_later(every, look)

    def write(self, frames: bytes) -> None:
        """Send whole frames at once, beside what the driver sends.

        Raises:
            ConnectionError: the connection is being closed.
        """
        try:
            self._writer.write(frames)
        except RuntimeError as error:  # of uvloop, when the other end is known to be gone and the driver has yet to act
            raise ConnectionError(str(error)) from error
