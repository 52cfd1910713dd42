"""What settings say about a place in Redis beyond its URL: transport options, SSL, who logs in. Pure.

Options come from `broker_transport_options` or `result_backend_transport_options`, and from the query of the URL, which
wins. Each is checked here, once, and has a field in `RedisOptions`; what has no effect is reported with the reason, and
never passed over in silence.
"""

from __future__ import annotations

import pkgutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from celeriac.brokers.option_values import FLAGS, checked, flag, seconds, seconds_or_none
from celeriac.brokers.redis.place import RedisPlace, hash_tag
from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import is_secret

Protocol = Literal[2, 3]
QueueOrder = Literal["round_robin", "priority", "sorted"]
Verify = Literal["required", "optional", "none"]


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Say how connections are encrypted.

    Attributes:
        verify: whether the server must show a certificate that one of the authorities signed ("required"), may show
            none ("optional"), or may show any ("none").
        check_hostname: the certificate must be for the host that was connected to.
        ca_certs, ca_path, ca_data: file, folder and text with the certificates of authorities; all None: the system's.
        certfile, keyfile, password: what this side shows, and what opens its key.
        min_version: oldest version of TLS.
        ciphers: as OpenSSL writes them.
    """

    verify: Verify = "required"
    check_hostname: bool = True
    ca_certs: str | None = None
    ca_path: str | None = None
    ca_data: str | bytes | None = None
    certfile: str | None = None
    keyfile: str | None = None
    password: str | None = None
    min_version: ssl.TLSVersion | None = None
    ciphers: str | None = None

    def __repr__(self) -> str:
        return f"<Tls {self.verify}>"


class SentinelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Say how sentinels are talked to, who have users, passwords and TLS of their own (`sentinel_kwargs`).

    Attributes:
        min_other_sentinels: others that a sentinel must know of for its word to count.
    """

    username: str | None = None
    password: str | None = None
    tls: Tls | None = None
    connect_timeout: float | None = None
    min_other_sentinels: int = 0

    def __repr__(self) -> str:
        return "<SentinelOptions>"


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a place in Redis is reached and what keys are called there.

    Attributes:
        protocol: version of RESP that connections speak; None: 2, and 3 where a connection is better for it.
        client_name: what connections are called on the server; None: ``celeriac``.
        connect_timeout: seconds for connecting and logging in at one address, within the deadline of a call.
        keepalive: have the system watch idle connections.
        keepalive_options: pairs of socket option and value for that; None: 30 s idle, 3 probes 5 s apart.
        check_after: seconds after which an idle connection is tried with a PING before it is used; 0: never.
        max_connections: most connections of one process that are open at once; None: no limit.
        answer_within: seconds in which a call about results has ended; None: 5.
        asks_again: such a call is made once more when there was no answer in time.
        acquire_timeout: seconds to wait for one when all are in use, within the deadline; None: until that.
        credential_provider: object whose `get_credentials()` returns the password, or user and password.
        tls: None: not encrypted.
        sentinel: how sentinels are talked to.
        global_keyprefix: what every key and channel begins with.
        sep: between a queue's name and a priority, and inside the members of binding tables.
        priority_steps: the priorities that have a list of their own, ascending.
        queue_order_strategy: which queue comes first: each in turn, always as given, or by name.
        visibility_timeout: seconds after which what a stock worker has not acknowledged goes back to its queue.
        unacked_key, unacked_index_key, unacked_mutex_key: keys in which stock workers keep that.
        unacked_mutex_expire: seconds for which one node may be at that.
        fanout_prefix: what channels begin with, as text with ``{db}`` in it; "" for nothing.
        fanout_patterns: channels end in the routing key.
        sentinel_fanout_compat: use the channels of kombu before 5.4, too.
        body_encoding: how bodies are written in envelopes.
        deadletter_queue: where messages go that no queue is bound for; None: nowhere.
        publish_wait_replicas: replicas that must have a message before it counts as published.
        chord_ordered: a chord's body gets what its members returned in the order of the header, not of their ends.
    """

    protocol: Protocol | None = None
    client_name: str | None = None
    connect_timeout: float | None = None
    keepalive: bool = True
    keepalive_options: tuple[tuple[int, int], ...] | None = None
    check_after: float = 25.0
    max_connections: int | None = None
    acquire_timeout: float | None = None
    answer_within: float | None = None
    asks_again: bool = False
    credential_provider: Any = None
    tls: Tls | None = None
    sentinel: SentinelOptions = SentinelOptions()
    global_keyprefix: str = ""
    sep: str = "\x06\x16"
    priority_steps: tuple[int, ...] = (0, 3, 6, 9)
    queue_order_strategy: QueueOrder = "round_robin"
    visibility_timeout: float = 3600.0
    unacked_key: str = "unacked"
    unacked_index_key: str = "unacked_index"
    unacked_mutex_key: str = "unacked_mutex"
    unacked_mutex_expire: float = 300.0
    fanout_prefix: str = "/{db}."
    fanout_patterns: bool = True
    sentinel_fanout_compat: bool = False
    body_encoding: Literal["base64", "utf-8"] = "base64"
    deadletter_queue: str | None = None
    publish_wait_replicas: int = 0
    chord_ordered: bool = True


class Reading(msgspec.Struct, frozen=True):
    """Say what settings came to.

    Attributes:
        place: the place, completed by them.
        options: all that has an effect.
        without_effect: a sentence for each option that has none, with the reason.
    """

    place: RedisPlace
    options: RedisOptions
    without_effect: tuple[str, ...]


def read_options(
    place: RedisPlace,
    said: Mapping[str, Any],
    *,
    setting: str,
    use_ssl: bool | Mapping[str, Any] | None = None,
    ssl_setting: str = "broker_use_ssl",
    base: Mapping[str, Any] | None = None,
) -> Reading:
    """Read what settings say about a place.

    Args:
        place: what the URL names; its query counts as options, and wins.
        said: the transport options.
        setting: where they stand, for errors.
        use_ssl: as `broker_use_ssl`; True or a dict encrypts connections whatever the scheme of the URL says.
        ssl_setting: where that stands.
        base: values of fields that other settings give, over which everything else wins.

    Raises:
        ImproperlyConfigured: a value cannot be what it says; the text names option and setting.
    """
    found: dict[str, Any] = dict(base or {})
    tls: dict[str, Any] = {}
    other: dict[str, Any] = {}
    unheard: list[str] = []
    sources = ((setting, said.items()), ("the URL", place.said))
    for source, pairs in sources:
        for name, value in pairs:
            where = f"{name!r} of {source}"
            if name in _FIELDS:
                field, read = _FIELDS[name]
                found[field] = checked(read, value, where, secret=is_secret(name))
            elif name.startswith("ssl_"):
                tls[name] = value
            elif name in _ASIDE:
                other[name] = checked(_ASIDE[name], value, where, secret=is_secret(name))
            else:
                reason = _WITHOUT_EFFECT.get(name, "there is no such option")
                unheard.append(f"{where} has no effect: {reason}")
    encrypted = place.encrypted or bool(use_ssl)
    if encrypted:
        details = {**(use_ssl if isinstance(use_ssl, Mapping) else {}), **tls}
        found["tls"], more = _read_tls(details, ssl_setting)
        unheard += more
    elif tls:
        unheard.append(f"{', '.join(sorted(tls))} have no effect: the URL does not begin with rediss://")
    if place.sentinel:
        place = _with_master(place, other.get("master_name") or place.master_name, setting)
        kwargs = other.get("sentinel_kwargs") or {}
        found["sentinel"], more = _read_sentinel(kwargs, other.get("min_other_sentinels", 0), found.get("tls"))
        unheard += more
    options = RedisOptions(**found)
    place = msgspec.structs.replace(place, shard=hash_tag(options.global_keyprefix))
    return Reading(place, options, tuple(unheard))


def _with_master(place: RedisPlace, name: str | None, setting: str) -> RedisPlace:
    if not name:
        raise ImproperlyConfigured(
            f"{place.url} names sentinels, but not which master is meant; say it: "
            f"{setting} = {{'master_name': 'mymaster'}}"
        )
    return msgspec.structs.replace(place, master_name=name)


# -- values: each function returns what is kept, or raises ValueError("what it must be") --------------------------


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None or value == "" else _text(value)


def _count(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number >= 0")
    return value


def _count_or_none(value: Any) -> int | None:
    return None if value is None else _count(value) or None


def _protocol(value: Any) -> int:
    if value in (2, "2"):
        return 2
    if value in (3, "3"):
        return 3
    raise ValueError("2 or 3")


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(map(repr, choices))}")
        return str(value)

    return read


def _steps(value: Any) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [_count(part.strip()) for part in value.strip("[]()").split(",")]
    steps = tuple(value) if isinstance(value, Sequence) else ()
    if not steps or any(isinstance(one, bool) or not isinstance(one, int) for one in steps):
        raise ValueError("a list of whole numbers, such as [0, 3, 6, 9]")
    return tuple(sorted(set(steps)))


def _body_encoding(value: Any) -> str:
    if value in (None, "", "utf-8"):
        return "utf-8"
    if value == "base64":
        return "base64"
    raise ValueError("'base64' or None")


def _fanout_prefix(value: Any) -> str:
    if isinstance(value, str) and value.lower() in FLAGS:
        value = FLAGS[value.lower()]
    if isinstance(value, bool):
        return "/{db}." if value else ""
    return _text(value)


def _keepalive_options(value: Any) -> tuple[tuple[int, int], ...] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(one, int) for pair in value.items() for one in pair):
        raise ValueError("a dict of socket options and whole numbers, such as {socket.TCP_KEEPIDLE: 30}")
    return tuple(sorted(value.items()))


def _provider(value: Any) -> Any:
    """Return the object, or one of the class, or one of the class at the path, that was given."""
    if isinstance(value, str):
        try:
            value = pkgutil.resolve_name(value)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"a class that can be imported ({error})") from None
    if isinstance(value, type):
        value = value()
    if value is not None and not callable(getattr(value, "get_credentials", None)):
        raise ValueError("an object with a method get_credentials(), or a class of such, or its path")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a dict")
    return value


_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "protocol": ("protocol", _protocol),
    "client_name": ("client_name", _text_or_none),
    "socket_connect_timeout": ("connect_timeout", seconds_or_none),
    "socket_keepalive": ("keepalive", flag),
    "socket_keepalive_options": ("keepalive_options", _keepalive_options),
    "health_check_interval": ("check_after", seconds),
    "max_connections": ("max_connections", _count_or_none),
    "credential_provider": ("credential_provider", _provider),
    "global_keyprefix": ("global_keyprefix", _text),
    "sep": ("sep", _text),
    "priority_steps": ("priority_steps", _steps),
    "queue_order_strategy": ("queue_order_strategy", _one_of("round_robin", "priority", "sorted")),
    "visibility_timeout": ("visibility_timeout", seconds),
    "unacked_key": ("unacked_key", _text),
    "unacked_index_key": ("unacked_index_key", _text),
    "unacked_mutex_key": ("unacked_mutex_key", _text),
    "unacked_mutex_expire": ("unacked_mutex_expire", seconds),
    "fanout_prefix": ("fanout_prefix", _fanout_prefix),
    "fanout_patterns": ("fanout_patterns", flag),
    "sentinel_fanout_compat": ("sentinel_fanout_compat", flag),
    "body_encoding": ("body_encoding", _body_encoding),
    "deadletter_queue": ("deadletter_queue", _text_or_none),
    "publish_wait_replicas": ("publish_wait_replicas", _count),
    "result_chord_ordered": ("chord_ordered", flag),
}
"""Option -> its field, and what reads its value."""

_ASIDE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "master_name": _text,
    "min_other_sentinels": _count,
    "sentinel_kwargs": _mapping,
}
"""Options that are about sentinels, and mean nothing to other places."""

_DEADLINES: Final = "every call has one deadline, over connecting, sending and the answer"
_POLICY: Final = "task_publish_retry_policy says how often publishing is tried again"
_SLEEPS: Final = "idle nodes do not poll, the server wakes them"

_WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "polling_interval": _SLEEPS,
    "brpop_timeout": _SLEEPS,
    "socket_timeout": _DEADLINES,
    "retry_on_timeout": f"{_DEADLINES}, and what can be repeated is repeated until then",
    "ack_emulation": "every message that is taken is kept until it is settled",
    "unacked_restore_limit": "all that is overdue goes back, in small steps",
    "unacked_restore_interval": "nodes look by themselves, at steady intervals",
    "unacked_restore_throttle": "nodes look by themselves, at steady intervals",
    "max_retries": _POLICY,
    "interval_start": _POLICY,
    "interval_step": _POLICY,
    "interval_max": _POLICY,
    "retry_policy": _DEADLINES,
    "confirm_publish": "every publishing is confirmed",
}
"""Option of Celery's -> why it has no effect."""


# -- TLS ----------------------------------------------------------------------------------------------------------


def _read_tls(said: Mapping[str, Any], setting: str) -> tuple[Tls, list[str]]:
    found: dict[str, Any] = {}
    unheard: list[str] = []
    for name, value in said.items():
        key = name if name.startswith("ssl_") else f"ssl_{_TLS_ALIASES.get(name, name)}"
        if key not in _TLS_FIELDS:
            unheard.append(f"{name!r} of {setting} has no effect: there is no such option")
            continue
        field, read = _TLS_FIELDS[key]
        found[field] = checked(read, value, f"{name!r} of {setting}", secret=is_secret(name))
    if found.get("verify") == "none":
        found["check_hostname"] = False
    return Tls(**found), unheard


def _verify(value: Any) -> str:
    if isinstance(value, ssl.VerifyMode):
        return _MODES[value]
    if value is None:
        return "none"
    text = str(value).lower().removeprefix("ssl.").removeprefix("verifymode.").removeprefix("cert_")
    if text not in _MODES.values():
        raise ValueError("required, optional or none (CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE)")
    return text


_MODES: Final = {ssl.CERT_REQUIRED: "required", ssl.CERT_OPTIONAL: "optional", ssl.CERT_NONE: "none"}


def _tls_version(value: Any) -> ssl.TLSVersion | None:
    if value is None or isinstance(value, ssl.TLSVersion):
        return value
    name = str(value).removeprefix("TLSVersion.").replace(".", "_")
    try:
        return ssl.TLSVersion[name]
    except KeyError:
        raise ValueError("TLSv1_2 or TLSv1_3") from None


def _ca_data(value: Any) -> str | bytes | None:
    if value is not None and not isinstance(value, (str, bytes)):
        raise ValueError("certificates as text (PEM) or bytes (DER)")
    return value


_TLS_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "ssl_cert_reqs": ("verify", _verify),
    "ssl_check_hostname": ("check_hostname", flag),
    "ssl_ca_certs": ("ca_certs", _text_or_none),
    "ssl_ca_path": ("ca_path", _text_or_none),
    "ssl_ca_data": ("ca_data", _ca_data),
    "ssl_certfile": ("certfile", _text_or_none),
    "ssl_keyfile": ("keyfile", _text_or_none),
    "ssl_password": ("password", _text_or_none),
    "ssl_min_version": ("min_version", _tls_version),
    "ssl_ciphers": ("ciphers", _text_or_none),
}

# Names that `broker_use_ssl` has for AMQP, and that people take over.
_TLS_ALIASES: Final = {"ca_certs": "ca_certs", "certfile": "certfile", "keyfile": "keyfile", "cert_reqs": "cert_reqs"}


# -- sentinels ----------------------------------------------------------------------------------------------------


def _read_sentinel(said: Mapping[str, Any], others: int, tls: Tls | None) -> tuple[SentinelOptions, list[str]]:
    found: dict[str, Any] = {"min_other_sentinels": others}
    details = {name: value for name, value in said.items() if name.startswith("ssl_")}
    encrypted = checked(flag, said.get("ssl", bool(details)), "'ssl' of sentinel_kwargs")
    unheard: list[str] = []
    if encrypted:
        found["tls"], unheard = _read_tls(details, "sentinel_kwargs") if details else (tls or Tls(), [])
    for name, value in said.items():
        if name in _SENTINEL_FIELDS:
            field, read = _SENTINEL_FIELDS[name]
            found[field] = checked(read, value, f"{name!r} of sentinel_kwargs", secret=is_secret(name))
        elif name != "ssl" and name not in details:
            reason = _WITHOUT_EFFECT.get(name, "there is no such option")
            unheard.append(f"{name!r} of sentinel_kwargs has no effect: {reason}")
    return SentinelOptions(**found), unheard


_SENTINEL_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "username": ("username", _text_or_none),
    "password": ("password", _text_or_none),
    "socket_connect_timeout": ("connect_timeout", seconds_or_none),
}
