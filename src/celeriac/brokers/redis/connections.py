"""The one place that makes connections to Redis: blocking and asyncio, direct, through sentinels, from a list.

The driver (redis-py) logs in and chooses the database. Everything that its own timeouts do not bound is done here: host
names, several addresses, TLS, and a server that answers each step just in time. Its retries and its maintenance
notifications, which lengthen timeouts, are off.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, Protocol, cast

from celeriac.brokers.redis.failures import ServerError, as_server_error, unreachable
from celeriac.brokers.redis.options import RedisOptions, Tls
from celeriac.brokers.redis.place import Endpoint, RedisPlace
from celeriac.brokers.redis.resolving import Address, aresolve, resolve
from celeriac.exceptions import BrokerUnavailable

try:
    import hiredis
    import redis.asyncio.connection as async_driver
    import redis.connection as driver
    from redis.crc import key_slot
    from redis.exceptions import RedisError
    from redis.exceptions import TimeoutError as DriverTimeout
except ImportError as missing:
    raise ImportError('redis:// needs the redis package: pip install "celeriac[redis]"') from missing

CLIENT_NAME: Final = "celeriac"
"""What connections are called on the server, for people who look at CLIENT LIST."""

Word = bytes | str | int | float
"""One word of a command: numbers are sent as their text."""

MORE: Final = object()
"""What a reader returns while an answer is not complete."""

pack: Final[Callable[[tuple[Word, ...]], bytes]] = cast("Any", hiredis.pack_command)  # typed for single words there


class Reader(Protocol):
    """Take answers apart; errors in them are returned as `ServerError`."""

    def feed(self, data: bytes | bytearray, start: int, count: int, /) -> None: ...

    def gets(self) -> Any: ...


def new_reader() -> Reader:
    """Make a reader of answers."""
    return cast("Reader", hiredis.Reader(replyError=ServerError, notEnoughData=MORE))


_LEAST: Final = 0.001  # seconds; a timeout of 0 would mean "do not block"


def left(deadline_at: float) -> float:
    """Return the seconds until a monotonic instant, as a timeout for a socket.

    Raises:
        TimeoutError: it has passed.
    """
    seconds = deadline_at - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return max(seconds, _LEAST)


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
    for index, until in _turns(len(place.endpoints), first, deadline_at):
        endpoint = place.endpoints[index]
        where = endpoint.address
        try:
            if place.sentinel:
                endpoint = _master_by(endpoint, place, options, until)
                where = f"{endpoint.address} (master {place.master_name!r})"
            sock = _log_in(endpoint, place.database, options, options.tls, until, name)
            if place.shard:
                sock = _on_shard(sock, endpoint, place, options, until, name)
            elif len(place.endpoints) > 1:
                _make_sure_it_takes_writes(sock, until)
            return sock, index
        except (OSError, ServerError) as error:
            failure = unreachable(error, where, time.monotonic() - started_at)
            failure.__cause__ = error
    assert failure is not None, "a place has an endpoint"
    raise failure


def _turns(count: int, first: int, deadline_at: float) -> Iterator[tuple[int, float]]:
    """Yield indexes, each with the instant by which its turn ends: what time there is, is shared by those to come."""
    for turn in range(count):
        now = time.monotonic()
        yield (first + turn) % count, now + (deadline_at - now) / (count - turn)


def _log_in(
    endpoint: Endpoint, database: int, options: RedisOptions, tls: Tls | None, deadline_at: float, name: str | None
) -> socket.socket:
    if options.connect_timeout is not None:
        deadline_at = min(deadline_at, time.monotonic() + options.connect_timeout)
    sock = _open(endpoint, options, tls, deadline_at)
    try:
        login = _Login(TimedSocket(sock, deadline_at), **_login_arguments(endpoint, database, options, name))
        try:
            login.connect()  # type: ignore[no-untyped-call]  # the driver has no types there
        except RedisError as error:
            raise _cause(error) from error
        login._sock = None  # else it would close the socket when it is collected
    except BaseException:
        sock.close()
        raise
    return sock


def _open(endpoint: Endpoint, options: RedisOptions, tls: Tls | None, deadline_at: float) -> socket.socket:
    """Connect, encrypt, and nothing else."""
    if endpoint.path:
        sock = _connected(socket.AF_UNIX, endpoint.path, deadline_at)
    else:
        sock = _first_of(resolve(endpoint.host, endpoint.port, deadline_at), deadline_at)
        _tune(sock, options)
    if tls is None:
        return sock
    try:
        sock.settimeout(left(deadline_at))
        return _context(tls).wrap_socket(sock, server_hostname=endpoint.host or None)
    except BaseException:
        sock.close()
        raise


def _first_of(addresses: list[Address], deadline_at: float) -> socket.socket:
    failure: OSError | None = None
    for index, until in _turns(len(addresses), 0, deadline_at):
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


def _tune(sock: socket.socket, options: RedisOptions) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not options.keepalive:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE if options.keepalive_options is None else options.keepalive_options:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


_KEEPALIVE: Final = tuple(
    (getattr(socket, option), value)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, option)
)


def _master_by(sentinel: Endpoint, place: RedisPlace, options: RedisOptions, deadline_at: float) -> Endpoint:
    """Ask one sentinel where the master is."""
    own = _sentinel_endpoint(sentinel, options)
    sock = _log_in(own, 0, _sentinel_options(options), options.sentinel.tls, deadline_at, None)
    try:
        answer = ask(sock, ("SENTINEL", "MASTER", place.master_name or ""), deadline_at)
    finally:
        sock.close()
    return _master_of(answer, sentinel, place, options)


def _make_sure_it_takes_writes(sock: socket.socket, deadline_at: float) -> None:
    try:
        _refuse_replicas(ask(sock, ("ROLE",), deadline_at))
    except BaseException:
        sock.close()
        raise


def _on_shard(
    sock: socket.socket,
    endpoint: Endpoint,
    place: RedisPlace,
    options: RedisOptions,
    deadline_at: float,
    name: str | None,
) -> socket.socket:
    """Return a connection to the node of a cluster that has the place's keys; `sock` when it leads there."""
    try:
        me = ask(sock, ("CLUSTER", "MYID"), deadline_at)
        owner = _owner_of(place.shard, ask(sock, ("CLUSTER", "SLOTS"), deadline_at), me, endpoint)
    except ServerError:  # it is no cluster
        return sock
    except BaseException:
        sock.close()
        raise
    if owner is None:
        return sock
    sock.close()
    return _log_in(owner, place.database, options, options.tls, deadline_at, name)


def ask(sock: socket.socket, words: tuple[str, ...], deadline_at: float) -> Any:
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


# -- asyncio ------------------------------------------------------------------------------------------------------


async def aconnect(
    place: RedisPlace, options: RedisOptions, *, timeout: float, name: str | None = None, first: int = 0
) -> tuple[AsyncConnection, int]:
    """Do what `connect` does for an event loop, within `timeout` seconds."""
    started_at = time.monotonic()
    failure: BrokerUnavailable | None = None
    for index, until in _turns(len(place.endpoints), first, started_at + timeout):
        endpoint = place.endpoints[index]
        where = endpoint.address
        try:
            async with asyncio.timeout(until - time.monotonic()):
                if place.sentinel:
                    endpoint = await _amaster_by(endpoint, place, options)
                    where = f"{endpoint.address} (master {place.master_name!r})"
                connection = await _alog_in(endpoint, place.database, options, options.tls, name)
                if place.shard:
                    connection = await _aon_shard(connection, endpoint, place, options, name)
                elif len(place.endpoints) > 1:
                    await _amake_sure_it_takes_writes(connection)
                return connection, index
        except (OSError, ServerError) as error:
            failure = unreachable(error, where, time.monotonic() - started_at)
            failure.__cause__ = error
    assert failure is not None, "a place has an endpoint"
    raise failure


async def _alog_in(
    endpoint: Endpoint, database: int, options: RedisOptions, tls: Tls | None, name: str | None
) -> AsyncConnection:
    async with asyncio.timeout(options.connect_timeout):
        streams = await _aopen(endpoint, options, tls)
        connection = _AsyncLogin(streams, **_login_arguments(endpoint, database, options, name))
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the driver has no types there
        except RedisError as error:
            raise _cause(error) from error
        except BaseException:
            connection._reader = connection._writer = None
            streams[1].transport.abort()
            raise
        return connection


async def _aopen(
    endpoint: Endpoint, options: RedisOptions, tls: Tls | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if endpoint.path:
        sock = await _aconnected(socket.AF_UNIX, endpoint.path)
    else:
        sock = await _afirst_of(await aresolve(endpoint.host, endpoint.port))
        _tune(sock, options)
    try:
        if tls is None:
            return await asyncio.open_connection(sock=sock)
        return await asyncio.open_connection(sock=sock, ssl=_context(tls), server_hostname=endpoint.host)
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


async def _amaster_by(sentinel: Endpoint, place: RedisPlace, options: RedisOptions) -> Endpoint:
    own = _sentinel_endpoint(sentinel, options)
    connection = await _alog_in(own, 0, _sentinel_options(options), options.sentinel.tls, None)
    try:
        answer = await aask(connection, ("SENTINEL", "MASTER", place.master_name or ""))
    finally:
        await connection.disconnect(nowait=True)
    return _master_of(answer, sentinel, place, options)


async def _amake_sure_it_takes_writes(connection: AsyncConnection) -> None:
    try:
        _refuse_replicas(await aask(connection, ("ROLE",)))
    except BaseException:
        await connection.disconnect(nowait=True)
        raise


async def _aon_shard(
    connection: AsyncConnection, endpoint: Endpoint, place: RedisPlace, options: RedisOptions, name: str | None
) -> AsyncConnection:
    try:
        me = await aask(connection, ("CLUSTER", "MYID"))
        owner = _owner_of(place.shard, await aask(connection, ("CLUSTER", "SLOTS")), me, endpoint)
    except ServerError:
        return connection
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    if owner is None:
        return connection
    await connection.disconnect(nowait=True)
    return await _alog_in(owner, place.database, options, options.tls, name)


async def aask(connection: AsyncConnection, words: tuple[str, ...]) -> Any:
    """Send one command and return the answer.

    Raises:
        ServerError: the server answered an error.
        OSError: the connection broke.
    """
    try:
        await connection.send_command(*words, check_health=False)
        return await connection.read_response()
    except RedisError as error:
        raise _cause(error) from error


# -- what both have in common -------------------------------------------------------------------------------------


def _cause(error: RedisError) -> OSError | ServerError:
    """Return what lies below an error of the driver."""
    answered = as_server_error(error)
    if answered is not None:
        return answered
    below = error.__cause__ or error.__context__
    if isinstance(below, OSError):
        return below
    if isinstance(error, DriverTimeout):
        return TimeoutError(str(error))
    if "max number of clients" in str(error):
        return ServerError(f"ERR {error}")
    return ConnectionResetError(str(error))


def _login_arguments(endpoint: Endpoint, database: int, options: RedisOptions, name: str | None) -> dict[str, Any]:
    provider = options.credential_provider
    who = {"credential_provider": provider} if provider is not None and not endpoint.password else {
        "username": endpoint.username, "password": endpoint.password,
    }  # fmt: skip
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "db": database,
        "protocol": options.protocol or 2,
        "client_name": _fit_name(name or options.client_name or CLIENT_NAME),
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "health_check_interval": 0,
        "decode_responses": False,
        **who,
        **_silent_driver(),
    }


@lru_cache(maxsize=1)
def _silent_driver() -> dict[str, None]:
    """Keep the driver from telling the server its name, which takes two more round trips."""
    known = inspect.signature(driver.AbstractConnection.__init__).parameters
    return dict.fromkeys(("driver_info",) if "driver_info" in known else ("lib_name", "lib_version"))


def _fit_name(name: str) -> str:
    """Make a client name of any text: the server takes no spaces and no special characters."""
    return "".join(char if "!" <= char <= "~" else "_" for char in name)


@lru_cache(maxsize=64)
def _context(tls: Tls) -> ssl.SSLContext:
    """Make what encrypts connections; reading the authorities' certificates takes 20 ms, so once."""
    context = ssl.create_default_context()
    context.check_hostname = tls.check_hostname and tls.verify != "none"
    context.verify_mode = _VERIFY_MODES[tls.verify]
    if tls.ca_certs or tls.ca_path or tls.ca_data:
        context.load_verify_locations(tls.ca_certs, tls.ca_path, tls.ca_data)
    if tls.certfile:
        context.load_cert_chain(tls.certfile, tls.keyfile, tls.password)
    if tls.min_version is not None:
        context.minimum_version = tls.min_version
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    return context


_VERIFY_MODES: Final = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def _sentinel_endpoint(sentinel: Endpoint, options: RedisOptions) -> Endpoint:
    """Return a sentinel as it is logged in to: user and password of the URL are the master's."""
    own = options.sentinel
    return Endpoint(host=sentinel.host, port=sentinel.port, username=own.username, password=own.password)


def _sentinel_options(options: RedisOptions) -> RedisOptions:
    return RedisOptions(client_name=options.client_name, connect_timeout=options.sentinel.connect_timeout)


def _master_of(answer: Any, sentinel: Endpoint, place: RedisPlace, options: RedisOptions) -> Endpoint:
    """Read where the master is from a sentinel's word.

    Raises:
        OSError: it does not know, or nobody does at the moment.
    """
    facts = dict(zip(answer[::2], answer[1::2], strict=True)) if isinstance(answer, list) else cast("Any", answer)
    flags = facts.get(b"flags", b"").split(b",")
    if b"s_down" in flags or b"o_down" in flags or b"disconnected" in flags:
        raise OSError(f"sentinel {sentinel.address} says that master {place.master_name!r} is down")
    if int(facts.get(b"num-other-sentinels", 0)) < options.sentinel.min_other_sentinels:
        raise OSError(f"sentinel {sentinel.address} knows of too few others (min_other_sentinels)")
    first = place.endpoints[0]
    return Endpoint(
        host=facts[b"ip"].decode(), port=int(facts[b"port"]), username=first.username, password=first.password
    )


def _owner_of(shard: str, slots: Any, me: bytes, endpoint: Endpoint) -> Endpoint | None:
    """Return the node of a cluster that has a shard; None when it is the one that was asked.

    Args:
        shard: the hash tag of its keys.
        slots: the answer to ``CLUSTER SLOTS``: first and last slot, then the master, for each range.
        me: id of the node that was asked.
        endpoint: where that was reached, and who logged in.

    Raises:
        OSError: nobody has it at the moment.
    """
    slot = key_slot(shard.encode())
    for first, last, (host, port, node, *_), *_ in slots:
        if first <= slot <= last:
            if node == me:
                return None
            return Endpoint(
                host=host.decode() if host else endpoint.host,
                port=int(port),
                username=endpoint.username,
                password=endpoint.password,
            )
    raise OSError(f"no node of the cluster has slot {slot}")


def _refuse_replicas(role: Any) -> None:
    kind = role[0] if isinstance(role, list) and role else b""
    if kind == b"slave":
        raise ServerError("READONLY this server is a replica")
