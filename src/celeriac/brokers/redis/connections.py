"""The one place that makes connections to Redis: blocking and asyncio, direct, through sentinels, from a list.

The driver (redis-py) logs in and chooses the database. Everything that its own timeouts do not bound is done here: host
names, several addresses, TLS, and a server that answers each step just in time. Its retries and its maintenance
notifications, which lengthen timeouts, are off.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Final

from celeriac.brokers.redis.dialing import (
    MORE,
    Dial,
    Word,
    cause,
    left,
    master_of,
    new_reader,
    owner_of,
    pack,
    refuse_replica,
    tls_context,
    tune,
    turns,
)
from celeriac.brokers.redis.failures import ServerError, Step, unreachable
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import Endpoint, RedisPlace
from celeriac.brokers.resolving import Address, aresolve, resolve
from celeriac.exceptions import BrokerUnavailable, ExtraMissing

try:
    import redis.asyncio.connection as async_driver
    import redis.connection as driver
    from redis.exceptions import RedisError
except ImportError as missing:
    raise ExtraMissing('redis:// needs more packages: pip install "celeriac[redis]"') from missing


class TimedSocket:
    """Lend a socket to the driver, each of whose reads and writes ends by one deadline.

    A timeout of a socket is per read: a server that sends a byte a second never lets it pass.
    """

    def __init__(self, sock: socket.socket, deadline_at: float) -> None:
        self._sock = sock
        self._deadline_at = deadline_at

    def recv(self, *args: Any) -> bytes:
        self._sock.settimeout(left(self._deadline_at))
        return self._sock.recv(*args)

    def recv_into(self, *args: Any) -> int:
        self._sock.settimeout(left(self._deadline_at))
        return self._sock.recv_into(*args)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(left(self._deadline_at))
        self._sock.sendall(data)

    def settimeout(self, timeout: float | None) -> None:
        """Leave it: only the deadline counts."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Login(driver.Connection):
    """Log in on a socket that is connected already."""

    def __init__(self, sock: TimedSocket, **arguments: Any) -> None:
        self._connected = sock
        super().__init__(**arguments)  # type: ignore[no-untyped-call]  # the driver has no types there

    def _connect(self) -> Any:
        return self._connected


class _AsyncLogin(async_driver.Connection):
    """Log in on streams that are connected already; the connection is used further."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], **arguments: Any) -> None:
        self._connected = streams
        super().__init__(**arguments)

    async def _connect(self) -> None:
        self._reader, self._writer = self._connected


def streams_of(connection: AsyncConnection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return what lies below a connection, for whoever hears what it has not asked for; nothing is unread on it."""
    assert isinstance(connection, _AsyncLogin), "aconnect made it"
    return connection._connected


def take_streams(connection: AsyncConnection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Do as `streams_of`, and have the driver let go of the connection: closing it is the caller's from now on."""
    streams = streams_of(connection)
    connection._reader = connection._writer = None
    return streams


AsyncConnection = async_driver.AbstractConnection
"""What `aconnect` returns: `send_packed_command`, `read_response`, `disconnect(nowait=True)`."""


# -- blocking -----------------------------------------------------------------------------------------------------


def connect(
    place: RedisPlace, options: RedisOptions, *, deadline_at: float, name: str | None = None, first: int = 0
) -> tuple[socket.socket, int]:
    """Connect to a place, log in, and choose its database.

    Args:
        deadline_at: monotonic instant by which the call has ended.
        name: what the connection is called on the server.
        first: index of the endpoint to begin with; the others follow in their order.

    Returns:
        A socket with nothing unread on it, and the index of the endpoint.

    Raises:
        BrokerUnavailable: no server of the place could be reached; the text says why.
    """
    started_at = time.monotonic()
    failure: BrokerUnavailable | None = None
    for index, until in turns(len(place.endpoints), first, deadline_at):
        dial = Dial(place, options, name)
        try:
            return _reach(dial, place.endpoints[index], until), index
        except (OSError, ServerError) as error:
            where = place.endpoints[index].address
            failure = unreachable(error, where, time.monotonic() - started_at, dial.step)
            failure.__cause__ = error
    assert failure is not None, "a place has an endpoint"
    raise failure


def ask(sock: socket.socket, words: tuple[Word, ...], deadline_at: float) -> Any:
    """Send one command on a socket that is logged in, and return the answer.

    Raises:
        ServerError: the server answered an error.
        OSError: it did not answer by `deadline_at`.
    """
    timed = TimedSocket(sock, deadline_at)
    timed.sendall(pack(words))
    reader = new_reader()
    buffer = bytearray(65_536)
    answer = MORE
    while answer is MORE:
        count = timed.recv_into(buffer)
        if not count:
            raise ConnectionResetError("the server closed the connection")
        reader.feed(buffer, 0, count)
        answer = reader.gets()
    if isinstance(answer, ServerError):
        raise answer
    return answer


def _reach(dial: Dial, endpoint: Endpoint, deadline_at: float) -> socket.socket:
    """Connect to what is meant by an endpoint: itself, the master it knows, or the node that has the keys."""
    place = dial.place
    if place.sentinel:
        endpoint = _master_by(dial, endpoint, deadline_at)
    sock = _log_in(dial, endpoint, place.database, deadline_at)
    try:
        if place.shard:
            owner = _owner_by(sock, endpoint, place.shard, deadline_at)
            if owner is not None:
                sock.close()
                return _log_in(dial, owner, place.database, deadline_at)
        elif len(place.endpoints) > 1:
            refuse_replica(ask(sock, ("ROLE",), deadline_at))
    except BaseException:
        sock.close()
        raise
    return sock


def _master_by(dial: Dial, sentinel: Endpoint, deadline_at: float) -> Endpoint:
    """Ask one sentinel where the master is."""
    place = dial.place
    own, endpoint = dial.to_sentinel(sentinel)
    try:
        sock = _log_in(own, endpoint, 0, deadline_at)
    finally:
        dial.step = own.step
    try:
        answer = ask(sock, ("SENTINEL", "MASTER", place.master_name or ""), deadline_at)
    finally:
        sock.close()
    return master_of(answer, sentinel, place, dial.options)


def _owner_by(sock: socket.socket, endpoint: Endpoint, shard: str, deadline_at: float) -> Endpoint | None:
    """Ask a node of a cluster which other one has a shard; a server that is in no cluster has it."""
    try:
        me = ask(sock, ("CLUSTER", "MYID"), deadline_at)
        return owner_of(shard, ask(sock, ("CLUSTER", "SLOTS"), deadline_at), me, endpoint)
    except ServerError:
        return None


def _log_in(dial: Dial, endpoint: Endpoint, database: int, deadline_at: float) -> socket.socket:
    if dial.options.connect_timeout is not None:
        deadline_at = min(deadline_at, time.monotonic() + dial.options.connect_timeout)
    sock = _open(dial, endpoint, deadline_at)
    try:
        dial.step = Step.LOG_IN
        login = _Login(TimedSocket(sock, deadline_at), **dial.login_arguments(endpoint, database))
        try:
            login.connect()  # type: ignore[no-untyped-call]  # the driver has no types there
        except RedisError as error:
            raise cause(error) from error
        login._sock = None  # else it would close the socket when it is collected
    except BaseException:
        sock.close()
        raise
    return sock


def _open(dial: Dial, endpoint: Endpoint, deadline_at: float) -> socket.socket:
    """Connect, encrypt, and nothing else."""
    dial.step = Step.CONNECT
    if endpoint.path:
        sock = _connected(socket.AF_UNIX, endpoint.path, deadline_at)
    else:
        sock = _first_of(resolve(endpoint.host, endpoint.port, deadline_at), deadline_at)
        tune(sock, dial.options)
    if dial.options.tls is None:
        return sock
    dial.step = Step.TLS
    try:
        sock.settimeout(left(deadline_at))
        return tls_context(dial.options.tls).wrap_socket(sock, server_hostname=endpoint.host)
    except BaseException:
        sock.close()
        raise


def _first_of(addresses: list[Address], deadline_at: float) -> socket.socket:
    failure: OSError | None = None
    for index, until in turns(len(addresses), 0, deadline_at):
        family, address = addresses[index]
        try:
            return _connected(family, address, until)
        except OSError as error:
            failure = error
    raise failure or OSError("the host has no address")


def _connected(family: socket.AddressFamily, address: Any, deadline_at: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(left(deadline_at))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


# -- asyncio: the same steps --------------------------------------------------------------------------------------


async def aconnect(
    place: RedisPlace, options: RedisOptions, *, timeout: float, name: str | None = None, first: int = 0
) -> tuple[AsyncConnection, int]:
    """Do what `connect` does for an event loop, within `timeout` seconds."""
    started_at = time.monotonic()
    failure: BrokerUnavailable | None = None
    for index, until in turns(len(place.endpoints), first, started_at + timeout):
        dial = Dial(place, options, name)
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await _areach(dial, place.endpoints[index]), index
        except (OSError, ServerError) as error:
            where = place.endpoints[index].address
            failure = unreachable(error, where, time.monotonic() - started_at, dial.step)
            failure.__cause__ = error
    assert failure is not None, "a place has an endpoint"
    raise failure


async def aask(connection: AsyncConnection, words: tuple[Word, ...]) -> Any:
    """Send one command and return the answer.

    Raises:
        ServerError: the server answered an error.
        OSError: the connection broke.
    """
    try:
        await connection.send_packed_command([pack(words)], check_health=False)
        return await connection.read_response()
    except RedisError as error:
        raise cause(error) from error
    except RuntimeError as error:  # what uvloop says of a connection that the server has closed just now
        raise ConnectionResetError(str(error)) from error


async def _areach(dial: Dial, endpoint: Endpoint) -> AsyncConnection:
    place = dial.place
    if place.sentinel:
        endpoint = await _amaster_by(dial, endpoint)
    connection = await _alog_in(dial, endpoint, place.database)
    try:
        if place.shard:
            owner = await _aowner_by(connection, endpoint, place.shard)
            if owner is not None:
                await connection.disconnect(nowait=True)
                return await _alog_in(dial, owner, place.database)
        elif len(place.endpoints) > 1:
            refuse_replica(await aask(connection, ("ROLE",)))
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection


async def _amaster_by(dial: Dial, sentinel: Endpoint) -> Endpoint:
    place = dial.place
    own, endpoint = dial.to_sentinel(sentinel)
    try:
        connection = await _alog_in(own, endpoint, 0)
    finally:
        dial.step = own.step
    try:
        answer = await aask(connection, ("SENTINEL", "MASTER", place.master_name or ""))
    finally:
        await connection.disconnect(nowait=True)
    return master_of(answer, sentinel, place, dial.options)


async def _aowner_by(connection: AsyncConnection, endpoint: Endpoint, shard: str) -> Endpoint | None:
    try:
        me = await aask(connection, ("CLUSTER", "MYID"))
        return owner_of(shard, await aask(connection, ("CLUSTER", "SLOTS")), me, endpoint)
    except ServerError:
        return None


async def _alog_in(dial: Dial, endpoint: Endpoint, database: int) -> AsyncConnection:
    async with asyncio.timeout(dial.options.connect_timeout):
        streams = await _aopen(dial, endpoint)
        dial.step = Step.LOG_IN
        connection = _AsyncLogin(streams, **dial.login_arguments(endpoint, database))
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the driver has no types there
        except RedisError as error:
            raise cause(error) from error
        except BaseException:
            connection._reader = connection._writer = None
            streams[1].transport.abort()
            raise
        return connection


async def _aopen(dial: Dial, endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    dial.step = Step.CONNECT
    if endpoint.path:
        sock = await _aconnected(socket.AF_UNIX, endpoint.path)
    else:
        sock = await _afirst_of(await aresolve(endpoint.host, endpoint.port))
        tune(sock, dial.options)
    try:
        if dial.options.tls is None:
            return await asyncio.open_connection(sock=sock)
        dial.step = Step.TLS
        context = tls_context(dial.options.tls)
        return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=endpoint.host)
    except BaseException:
        sock.close()
        raise


async def _afirst_of(addresses: list[Address]) -> socket.socket:
    failure: OSError | None = None
    for number, (family, address) in enumerate(addresses, 1):
        try:
            async with asyncio.timeout(None if number == len(addresses) else _ADDRESS_WITHIN):
                return await _aconnected(family, address)
        except OSError as error:
            failure = error
    raise failure or OSError("the host has no address")


_ADDRESS_WITHIN: Final = 1.0  # seconds until the next address of a host is tried


async def _aconnected(family: socket.AddressFamily, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
