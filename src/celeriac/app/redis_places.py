"""What the settings say about a broker, and about results, in Redis: from names of settings to options of the place."""

from __future__ import annotations

import pkgutil
import random
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import msgspec

from celeriac.app.config import Settings
from celeriac.app.config.unused import level_of_users
from celeriac.brokers.redis.options import Reading, RedisOptions, read_options
from celeriac.brokers.redis.place import Endpoint, RedisPlace
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect


def broker_in_redis(place: RedisPlace, conf: Settings) -> tuple[RedisPlace, RedisOptions]:
    """Return the place of a broker, and how it is reached; warn of what has no effect.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    base = {
        "connect_timeout": conf.broker_connection_timeout or None,
        "max_connections": conf.broker_pool_limit or None,
        "acquire_timeout": conf.broker_pool_acquire_timeout,
    }
    reading = read_options(
        place,
        conf.broker_transport_options,
        setting="broker_transport_options",
        use_ssl=conf.broker_use_ssl,
        ssl_setting="broker_use_ssl",
        base=base,
    )
    ordered = _ordered(reading.place, conf.broker_failover_strategy)
    return ordered, _warned(reading).options


def results_in_redis(
    place: RedisPlace, conf: Settings, *, beside_broker: bool = False
) -> tuple[RedisPlace, RedisOptions]:
    """Return the place of results, and how it is reached; warn of what has no effect.

    Args:
        place: what `result_backend` names.
        beside_broker: it names nothing, so that the broker's place is meant, reached as the broker is.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    if beside_broker:
        place, broker = broker_in_redis(place, conf)
        base = {name: getattr(broker, name) for name in _SHARED}
        use_ssl: Any = conf.broker_use_ssl
        ssl_setting = "broker_use_ssl"
    else:
        use_ssl, ssl_setting = conf.redis_backend_use_ssl, "redis_backend_use_ssl"
        base = {
            "connect_timeout": conf.redis_socket_connect_timeout,
            "keepalive": conf.redis_socket_keepalive,
            "max_connections": conf.redis_max_connections,
            "client_name": conf.redis_client_name,
        }
        if conf.redis_backend_health_check_interval is not None:
            base["check_after"] = conf.redis_backend_health_check_interval
    said = dict(conf.result_backend_transport_options)
    if conf.redis_backend_credential_provider is not None:
        said.setdefault("credential_provider", conf.redis_backend_credential_provider)
    reading = read_options(
        place,
        said,
        setting="result_backend_transport_options",
        use_ssl=use_ssl,
        ssl_setting=ssl_setting,
        base=base,
    )
    return _warned(reading).place, reading.options


_SHARED = ("connect_timeout", "max_connections", "acquire_timeout", "credential_provider", "sentinel", "protocol")
"""What results have in common with the broker when they are kept beside its messages."""


def _warned(reading: Reading) -> Reading:
    for sentence in reading.without_effect:
        warnings.warn(sentence, SettingWithoutEffect, stacklevel=level_of_users())
    return reading


def _ordered(place: RedisPlace, strategy: Any) -> RedisPlace:
    """Return a place with its endpoints in the order of `broker_failover_strategy`."""
    endpoints = list(place.endpoints)
    if strategy in (None, "round-robin") or len(endpoints) == 1:
        return place
    if strategy == "shuffle":
        random.shuffle(endpoints)
    else:
        endpoints = _as_told(endpoints, strategy)
    return msgspec.structs.replace(place, endpoints=tuple(endpoints))


def _as_told(endpoints: list[Endpoint], strategy: str | Callable[[list[str]], Iterable[str]]) -> list[Endpoint]:
    """Order endpoints as a function of users does, which is given their addresses and may go round for ever."""
    try:
        choose = pkgutil.resolve_name(strategy) if isinstance(strategy, str) else strategy
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"broker_failover_strategy must be 'round-robin', 'shuffle' or a function, got {strategy!r} ({error})"
        ) from None
    by_address = {endpoint.address: endpoint for endpoint in endpoints}
    chosen = [by_address[one] for one in islice(choose(list(by_address)), 10 * len(endpoints)) if one in by_address]
    return list(dict.fromkeys([*chosen, *endpoints]))
