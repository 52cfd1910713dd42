"""A TCP proxy that fails on command: between a client and a server, on a loopback port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pytest

_CHUNK: Final = 65_536
_PATIENCE: Final = 10.0
_TURNS: Final = 5
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

T = TypeVar("T")


class Way(enum.Enum):
    """Say which way bytes go."""

    UP = "from the client to the server"
    DOWN = "from the server to the client"


BOTH: Final = (Way.UP, Way.DOWN)


@dataclass
class _Cut:
    """Cut connections at what travels one way: how much of it still passes, how often, after which request."""

    way: Way
    keep: float
    times: int
    after: bytes


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    asked: bytes = b""
    """What the client has sent since the last answer."""
    pumps: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Forward connections to a server, until told to fail; every method returns when it has taken effect.

    Args:
        port: of the server on loopback.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[_Connection] = set()
        self._begun: set[asyncio.StreamWriter] = set()
        self._open: dict[Way, asyncio.Event] = {}
        self._delays = dict.fromkeys(BOTH, 0.0)
        self._cuts: list[_Cut] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        self.accepted = 0
        """Connections that clients have made so far."""
        self.cut_off = 0
        """Connections that `cut` has ended so far."""
        self._thread.start()
        self._do(self._listen())

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    # -- faults -------------------------------------------------------------------------------------------------

    def black_hole(self, *ways: Way) -> None:
        """Take bytes, and pass none on. What was taken passes when this heals, as TCP would send it again."""
        self._do(self._hold(ways or BOTH))

    def delay(self, seconds: float, *ways: Way) -> None:
        """Pass everything on so much later."""
        self._do(self._slow(seconds, ways or BOTH))

    def reset(self, *, client: bool = True, server: bool = True) -> None:
        """Reset all connections there are, on one side or both; the other side hears nothing of it."""
        self._do(self._reset(client, server))

    def refuse(self) -> None:
        """Reset what there is, and take no connection any more."""
        self._do(self._refuse())

    def cut(self, way: Way, *, keep: float = 0.5, times: int = 1, after: bytes = b"") -> None:
        """Pass on only a part of the next bytes that travel this way, and reset the connection, so many times.

        Args:
            keep: share of the bytes that still passes; 0.5 cuts in the middle of a frame, 0 before it.
            after: cut only answers to a request that has this in it.
        """
        self._do(self._prepare(_Cut(way, keep, times, after)))

    def heal(self) -> None:
        """Forward everything again."""
        self._do(self._heal())

    def close(self) -> None:
        """End all; may be called twice."""
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()

    # -- in the loop --------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        for way in BOTH:
            self._open.setdefault(way, asyncio.Event()).set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._begun.add(to_client)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(to_client)
            return
        finally:
            self._begun.discard(to_client)
        if self._server is None:  # refused meanwhile
            _reset(to_client)
            _reset(to_server)
            return
        connection = _Connection(to_client, to_server)
        self._connections.add(connection)
        connection.pumps = [
            asyncio.create_task(self._pump(Way.UP, connection, from_client, to_server)),
            asyncio.create_task(self._pump(Way.DOWN, connection, from_server, to_client)),
        ]

    async def _pump(
        self, way: Way, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._open[way].wait()
                if self._delays[way]:
                    await asyncio.sleep(self._delays[way])
                if way is Way.UP:
                    connection.asked += chunk
                if cut := self._cut_of(way, connection):
                    writer.write(chunk[: int(len(chunk) * cut.keep)])
                    await writer.drain()
                    self.cut_off += 1
                    self._end(connection)
                    return
                if way is Way.DOWN:
                    connection.asked = b""
                writer.write(chunk)
                await writer.drain()
            await self._open[way].wait()
        writer.close()
        if all(pump.done() or pump is asyncio.current_task() for pump in connection.pumps):
            self._connections.discard(connection)

    def _cut_of(self, way: Way, connection: _Connection) -> _Cut | None:
        for cut in self._cuts:
            if cut.way is way and cut.times > 0 and cut.after in connection.asked:
                cut.times -= 1
                return cut
        return None

    def _end(self, connection: _Connection) -> None:
        _reset(connection.client)
        _reset(connection.server)
        self._connections.discard(connection)

    async def _hold(self, ways: tuple[Way, ...]) -> None:
        for way in ways:
            self._open[way].clear()

    async def _slow(self, seconds: float, ways: tuple[Way, ...]) -> None:
        self._delays.update(dict.fromkeys(ways, seconds))

    async def _reset(self, client: bool, server: bool) -> None:
        for connection in list(self._connections):
            # One whose other side goes on is left to its end: the pump that would tell that side is stopped.
            for pump in connection.pumps:
                pump.cancel()
            if client:
                _reset(connection.client)
            if server:
                _reset(connection.server)
            if client and server:
                self._connections.discard(connection)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset(True, True)

    async def _prepare(self, cut: _Cut) -> None:
        self._cuts.append(cut)

    async def _heal(self) -> None:
        self._delays = dict.fromkeys(BOTH, 0.0)
        self._cuts.clear()
        for way in BOTH:
            self._open[way].set()
        if self._server is None:
            await self._listen()

    async def _close(self) -> None:
        await self._refuse()
        for _ in range(_TURNS):  # what the loop has accepted by now comes to `_accept`
            await asyncio.sleep(0)
        while self._begun:
            await asyncio.sleep(0.005)
        for connection in list(self._connections):
            self._end(connection)
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that its peer reads an error and not an end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], Proxy]]:
    """Start proxies to ports on loopback."""
    proxies: list[Proxy] = []

    def start(port: int) -> Proxy:
        proxies.append(Proxy(port))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()
