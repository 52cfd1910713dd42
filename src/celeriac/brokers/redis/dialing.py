"""What connecting to Redis takes, whichever way it is done: the driver's arguments, TLS, who is the master. No I/O.

`connections.py` does it, blocking and in event loops.
"""

from __future__ import annotations

import inspect
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, Protocol, cast

import msgspec

from celeriac.brokers.redis.failures import ServerError, Step, as_server_error
from celeriac.brokers.redis.options import RedisOptions, Tls
from celeriac.brokers.redis.place import Endpoint, RedisPlace
from celeriac.exceptions import ExtraMissing, ImproperlyConfigured

try:
    import hiredis
    import redis.connection as driver
    from redis.crc import key_slot
    from redis.exceptions import RedisError
    from redis.exceptions import TimeoutError as DriverTimeout
except ImportError as missing:
    raise ExtraMissing('redis:// needs more packages: pip install "celeriac[redis]"') from missing

logger: Final = logging.getLogger("celeriac.redis")

CLIENT_NAME: Final = "celeriac"
"""What connections are called on the server, for people who look at CLIENT LIST."""

Word = bytes | str | int | float
"""One word of a command: numbers are sent as their text."""

MORE: Final = object()
"""What a reader returns while an answer is not complete."""

pack: Final[Callable[[tuple[Word, ...]], bytes]] = cast("Any", hiredis.pack_command)  # typed for single words there

MAY_LOOK_ON: Final = hasattr(os, "sched_yield")
"""Whether a thread may look for an answer again and again: only where it can let others run in between."""

_LEAST: Final = 0.001  # seconds; a timeout of 0 would mean "do not block"


class Reader(Protocol):
    """Take answers apart; errors in them are returned as `ServerError`."""

    def feed(self, data: bytes | bytearray, start: int, count: int, /) -> None: ...

    def gets(self) -> Any: ...


def new_reader() -> Reader:
    """Make a reader of answers."""
    # What is no answer at all is of no use to anybody: such a connection is lost.
    reader = hiredis.Reader(protocolError=ConnectionResetError, replyError=ServerError, notEnoughData=MORE)
    return cast("Reader", reader)


def flat(answer: Any) -> Any:
    """Return an answer of protocol 3 as protocol 2 has it: a map as a flat list, a set as a list."""
    if isinstance(answer, dict):
        return [part for pair in answer.items() for part in pair]
    return list(answer) if isinstance(answer, set) else answer


class Dial:
    """Be one attempt to connect to a place.

    Attributes:
        place: where.
        options: how.
        name: what the connection is to be called on the server.
        step: how far it has come.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions, name: str | None) -> None:
        self.place = place
        self.options = options
        self.name = name
        self.step = Step.CONNECT

    def login_arguments(self, endpoint: Endpoint, database: int) -> dict[str, Any]:
        """Return the driver's arguments: no timeouts, retries or health checks of its own, answers in bytes."""
        options = self.options
        who: dict[str, Any] = {"username": endpoint.username, "password": endpoint.password}
        if options.credential_provider is not None and not endpoint.password:
            who = {"credential_provider": options.credential_provider}
        return {
            "host": endpoint.host,
            "port": endpoint.port,
            "db": database,
            "protocol": options.protocol or 2,
            "client_name": _fit_name(self.name or options.client_name or CLIENT_NAME),
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "health_check_interval": 0,
            "decode_responses": False,
            **who,
            **_silent_driver(),
        }

    def to_sentinel(self, sentinel: Endpoint) -> tuple[Dial, Endpoint]:
        """Return how a sentinel is connected to: user and password of the URL are the master's."""
        own = self.options.sentinel
        options = RedisOptions(client_name=self.options.client_name, connect_timeout=own.connect_timeout, tls=own.tls)
        endpoint = Endpoint(host=sentinel.host, port=sentinel.port, username=own.username, password=own.password)
        return Dial(self.place, options, self.name), endpoint


def turns(count: int, first: int, deadline_at: float) -> Iterator[tuple[int, float]]:
    """Yield indexes, each with the instant by which its turn ends: what time there is, is shared by those to come."""
    for turn in range(count):
        now = time.monotonic()
        yield (first + turn) % count, now + (deadline_at - now) / (count - turn)


def left(deadline_at: float) -> float:
    """Return the seconds until a monotonic instant, as a timeout for a socket.

    Raises:
        TimeoutError: it has passed.
    """
    seconds = deadline_at - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return max(seconds, _LEAST)


def tune(sock: socket.socket, options: RedisOptions) -> None:
    """Have a connection send at once, and notice when its other side is gone."""
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


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what encrypts connections; reading the authorities' certificates takes 20 ms, so once for each renewal.

    Where files have changed and cannot be used, as amid their renewal, it is what was read before.

    Raises:
        ImproperlyConfigured: a file cannot be read, or has something else in it; the text names it.
    """
    versions = [_version_of(path) for path in (tls.ca_certs, tls.ca_path, tls.certfile, tls.keyfile)]
    former = _contexts.get(tls)
    if former is not None and former[0] == versions:
        return former[1]
    try:
        context = _make_context(tls)
    except ImproperlyConfigured as error:
        if former is None:
            raise
        logger.warning("%s; going on with what it was before", error)
        return former[1]
    _contexts[tls] = versions, context
    return context


_contexts: Final[dict[Tls, tuple[object, ssl.SSLContext]]] = {}


def _version_of(path: str | None) -> tuple[int, int] | None:
    """Return what is another one when a file has changed, or another one is in its place."""
    try:
        found = None if path is None else os.stat(path)
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)


def _make_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = tls.check_hostname and tls.verify != "none"
    context.verify_mode = _VERIFY_MODES[tls.verify]
    with _naming_files("ssl_ca_certs", tls.ca_certs, "ssl_ca_path", tls.ca_path):
        if tls.ca_certs or tls.ca_path or tls.ca_data:
            context.load_verify_locations(tls.ca_certs, tls.ca_path, tls.ca_data)
    with _naming_files("ssl_certfile", tls.certfile, "ssl_keyfile", tls.keyfile):
        if tls.certfile:
            context.load_cert_chain(tls.certfile, tls.keyfile, tls.password)
    if tls.min_version is not None:
        context.minimum_version = tls.min_version
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    return context


@contextmanager
def _naming_files(*named: str | None) -> Iterator[None]:
    """Say which files were to be read, options and paths in turn, when that fails: OpenSSL does not."""
    try:
        yield
    except OSError as error:
        files = " and ".join(f"{option} {path}" for option, path in zip(named[::2], named[1::2], strict=True) if path)
        reason = "not a certificate, or not its key" if isinstance(error, ssl.SSLError) else error.strerror
        raise ImproperlyConfigured(f"{files} cannot be used: {reason}") from error


_VERIFY_MODES: Final = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def cause(error: RedisError) -> OSError | ServerError:
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


def master_of(answer: Any, sentinel: Endpoint, place: RedisPlace, options: RedisOptions) -> Endpoint:
    """Read where the master is from a sentinel's word.

    Args:
        answer: to ``SENTINEL MASTER <name>``, in protocol 2.
        sentinel: whose answer it is.

    Raises:
        OSError: the master is down, or the sentinel knows too few others for its word to count.
    """
    facts = dict(zip(answer[::2], answer[1::2], strict=True))
    flags = facts.get(b"flags", b"").split(b",")
    if {b"s_down", b"o_down", b"disconnected"} & set(flags):
        raise OSError(f"sentinel {sentinel.address} says that master {place.master_name!r} is down")
    if int(facts.get(b"num-other-sentinels", 0)) < options.sentinel.min_other_sentinels:
        raise OSError(f"sentinel {sentinel.address} knows of too few others (min_other_sentinels)")
    return msgspec.structs.replace(place.endpoints[0], host=facts[b"ip"].decode(), port=int(facts[b"port"]))


def owner_of(shard: str, slots: Any, me: bytes, endpoint: Endpoint) -> Endpoint | None:
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
            return msgspec.structs.replace(endpoint, host=host.decode() if host else endpoint.host, port=int(port))
    raise OSError(f"no node of the cluster has slot {slot}")


def refuse_replica(role: Any) -> None:
    """Raise unless the answer to ``ROLE`` is a master's.

    Raises:
        ServerError: as the server itself would answer a write.
    """
    if isinstance(role, list) and role and role[0] == b"slave":
        raise ServerError("READONLY this server is a replica")


@lru_cache(maxsize=1)
def _silent_driver() -> dict[str, None]:
    """Keep the driver from telling the server its name, which takes two more round trips."""
    known = inspect.signature(driver.AbstractConnection.__init__).parameters
    return dict.fromkeys(("driver_info",) if "driver_info" in known else ("lib_name", "lib_version"))


def _fit_name(name: str) -> str:
    """Make a client name of any text: the server takes no spaces and no special characters."""
    return "".join(char if "!" <= char <= "~" else "_" for char in name)
