"""How RabbitMQ is reached and used: what the settings say beside the URL. Pure."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.topology import CONSUMER_TIMEOUT
from celeriac.brokers.option_values import checked, flag, seconds, seconds_or_none
from celeriac.masking import is_secret

HEARTBEAT: Final = 4
"""Seconds: a silent node is dropped after three of them, and its work goes to others."""


class AmqpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a server is reached, and what is declared there.

    Attributes:
        connect_timeout: seconds for connecting, of the deadline of a call; None: all of it.
        heartbeat: seconds of silence that a worker agrees on with the server; three of them end a connection; 0: none.
        heartbeat_looks: how often a worker looks, during that time, whether the server has given a sign of life.
        login_method: SASL's name; None: PLAIN.
        tls: None: no encryption.
        tls_hostname: whose certificate the server shows; None: that of the host that was connected to.
        client_properties: what connections tell of themselves, besides.
        socket_settings: pairs of option of TCP and value.
        max_connections: most connections of one process that publish at once; None: no limit.
        acquire_timeout: seconds to wait for one when all are in use, within the deadline; None: until that.
        max_retries: times that connecting is tried again within the deadline of a call; None: until that.
        interval_start, interval_step, interval_max: seconds before the first of these, more for each, and at most.
        queue_type: of queues that nobody has declared: ``classic`` or ``quorum``; None leaves it to the server.
        max_priority: ``x-max-priority`` of those.
        delayed_queue_type: of the queues of the ladder.
        consumer_timeout: seconds after which the server takes back what a worker has not acknowledged; inf: never.
    """

    connect_timeout: float | None = 4.0
    heartbeat: int = HEARTBEAT
    heartbeat_looks: float = 3.0
    login_method: str | None = None
    tls: ssl.SSLContext | None = None
    tls_hostname: str | None = None
    client_properties: tuple[tuple[str, Any], ...] = ()
    socket_settings: tuple[tuple[int, int], ...] = ()
    max_connections: int | None = None
    acquire_timeout: float | None = None
    max_retries: int | None = None
    interval_start: float = 0.0
    interval_step: float = 0.1
    interval_max: float = 0.4
    queue_type: str | None = None
    max_priority: int | None = None
    delayed_queue_type: str = "quorum"
    consumer_timeout: float = CONSUMER_TIMEOUT

    def naps(self) -> Iterator[float]:
        """Yield the seconds to wait before each further attempt to connect."""
        attempt = 0
        while self.max_retries is None or attempt < self.max_retries:
            yield min(self.interval_start + attempt * self.interval_step, self.interval_max)
            attempt += 1


class Reading(msgspec.Struct, frozen=True):
    """Say what transport options came to.

    Attributes:
        fields: of `AmqpOptions`.
        tls: details of the encryption, by their names in `broker_use_ssl`.
        encrypted: one of them asks for encryption.
        without_effect: a sentence for each option that has none, with the reason.
    """

    fields: dict[str, Any]
    tls: dict[str, Any]
    encrypted: bool
    without_effect: tuple[str, ...]


def read_options(options: Mapping[str, Any], query: Iterable[tuple[str, str]], *, setting: str) -> Reading:
    """Read transport options, and the query of a URL, which wins.

    Args:
        setting: where the options stand, for errors.

    Raises:
        ImproperlyConfigured: a value cannot be what it says; the text names option and setting.
    """
    fields: dict[str, Any] = {}
    tls: dict[str, Any] = {}
    unheard: list[str] = []
    encrypted = False
    for source, pairs in ((setting, options.items()), ("the URL", query)):
        for name, value in pairs:
            where = f"{name!r} of {source}"
            if name in _FIELDS:
                field, read = _FIELDS[name]
                fields[field] = checked(read, value, where, secret=is_secret(name))
            elif name == "ssl":
                details = value if isinstance(value, Mapping) else {}
                encrypted = encrypted or bool(details) or checked(flag, value, where)
                tls.update(details)
            elif name in _TLS:
                tls[_TLS[name]] = value
            elif name == "confirm_publish":
                if not checked(flag, value, where):
                    unheard.append(f"{where} has no effect: publishing is confirmed by the server, always")
            else:
                unheard.append(f"{where} has no effect: {_WITHOUT_EFFECT.get(name, 'there is no such option')}")
    return Reading(fields, tls, encrypted, tuple(unheard))


def whole_heartbeat(seconds: float | None) -> int:
    """Return seconds as the protocol has them; None is none at all."""
    return math.ceil(seconds or 0)


# -- values: each function returns what is kept, or raises ValueError("what it must be") --------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _heartbeat(value: Any) -> int:
    return whole_heartbeat(None if value is None else seconds(value))


def _count_or_none(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number >= 0, or None")
    return value


def _properties(value: Any) -> tuple[tuple[str, Any], ...]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("a dict with texts as keys")
    return tuple(value.items())


def _socket_settings(value: Any) -> tuple[tuple[int, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(one, int) for pair in value.items() for one in pair):
        raise ValueError("a dict of options of TCP and whole numbers, such as {socket.TCP_KEEPIDLE: 30}")
    return tuple(value.items())


_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "client_properties": ("client_properties", _properties),
    "connect_timeout": ("connect_timeout", seconds_or_none),
    "connection_timeout": ("connect_timeout", seconds_or_none),
    "heartbeat": ("heartbeat", _heartbeat),
    "interval_max": ("interval_max", seconds),
    "interval_start": ("interval_start", seconds),
    "interval_step": ("interval_step", seconds),
    "login_method": ("login_method", _text),
    "max_retries": ("max_retries", _count_or_none),
    "socket_settings": ("socket_settings", _socket_settings),
}
"""Option -> its field, and what reads its value."""

_TLS: Final[Mapping[str, str]] = {
    **{f"ssl_{name}": name for name in ("ca_certs", "certfile", "keyfile", "cert_reqs", "check_hostname")},
    "cacertfile": "ca_certs",
    "certfile": "certfile",
    "keyfile": "keyfile",
    "server_name_indication": "server_hostname",
}
"""Options of URLs that are details of the encryption, and the names of these in `broker_use_ssl`."""

_DEADLINES: Final = "every call has one deadline, over connecting, sending and the answer"

_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "read_timeout": _DEADLINES,
    "write_timeout": _DEADLINES,
    "connect_retries_timeout": _DEADLINES,
    "channel_max": "a process opens a few channels only",
    "frame_max": "the server says how long frames are",
    "locale": "the server's texts are not shown",
    "on_blocked": "a call that the server blocks ends with an error, which says why",
    "on_unblocked": "a call that the server blocks ends with an error, which says why",
    "errback": "what cannot be reached is logged, and an error of the call",
    "queue_order_strategy": "the server chooses which queue it serves next",
    "priority_steps": "priorities are those of x-max-priority",
    "polling_interval": "the server pushes messages",
    "visibility_timeout": "a message goes back when its connection ends, not after a time",
    "global_keyprefix": "a virtual host of its own keeps an app apart, which the URL names",
}
