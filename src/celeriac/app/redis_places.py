"""What the settings say about a broker, and about results, in Redis: from names of settings to options of the place."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec

from celeriac.app.config import Settings
from celeriac.app.config.unused import level_of_users
from celeriac.app.failover import in_order
from celeriac.brokers.redis.options import Reading, RedisOptions, read_options
from celeriac.brokers.redis.place import RedisPlace, Unsaid, read_place
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect


def broker_in_redis(url: str, conf: Settings) -> tuple[RedisPlace, RedisOptions]:
    """Return the place of a broker, and how it is reached; warn of what has no effect.

    Args:
        url: or several, with ``;`` between them.
        conf: without a `broker_url` the parts of the place are `broker_host`, `broker_port` and so on.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    place = read_place(url, "broker_url", Unsaid() if conf.broker_url else _broker_parts(conf))
    reading = read_options(
        place,
        conf.broker_transport_options,
        setting="broker_transport_options",
        use_ssl=conf.broker_use_ssl,
        ssl_setting="broker_use_ssl",
        base={
            "connect_timeout": conf.broker_connection_timeout or None,
            "max_connections": conf.broker_pool_limit or None,
            "acquire_timeout": conf.broker_pool_acquire_timeout,
        },
    )
    place = _warned(reading).place
    endpoints = in_order(place.endpoints, conf.broker_failover_strategy)
    return msgspec.structs.replace(place, endpoints=endpoints), reading.options


def results_in_redis(url: str, conf: Settings) -> tuple[RedisPlace, RedisOptions]:
    """Return the place of results, and how it is reached; warn of what has no effect.

    Args:
        url: or several, with ``;`` between them.
        conf: `redis_host`, `redis_port` and so on are the parts that the URL does not have.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    said = dict(conf.result_backend_transport_options)
    if conf.redis_backend_credential_provider is not None:
        said.setdefault("credential_provider", conf.redis_backend_credential_provider)
    base: dict[str, Any] = {
        "connect_timeout": conf.redis_socket_connect_timeout,
        "keepalive": conf.redis_socket_keepalive,
        "max_connections": conf.redis_max_connections,
        "client_name": conf.redis_client_name,
        "answer_within": conf.redis_socket_timeout or None,
        "asks_again": conf.redis_retry_on_timeout,
    }
    if conf.redis_backend_health_check_interval is not None:
        base["check_after"] = conf.redis_backend_health_check_interval
    reading = read_options(
        read_place(url, "result_backend", _result_parts(conf)),
        said,
        setting="result_backend_transport_options",
        use_ssl=conf.redis_backend_use_ssl,
        ssl_setting="redis_backend_use_ssl",
        base=base,
    )
    return _warned(reading).place, reading.options


def _broker_parts(conf: Settings) -> Unsaid:
    vhost = (conf.broker_vhost or "").strip("/")
    if vhost and not vhost.isdecimal():
        raise ImproperlyConfigured(f"broker_vhost must be the number of a database in Redis, got {vhost!r}")
    return Unsaid(
        host=conf.broker_host,
        port=conf.broker_port,
        username=conf.broker_user,
        password=_text(conf.broker_password),
        database=int(vhost) if vhost else None,
    )


def _result_parts(conf: Settings) -> Unsaid:
    return Unsaid(
        host=conf.redis_host,
        port=conf.redis_port,
        username=conf.redis_username,
        password=_text(conf.redis_password),
        database=conf.redis_db,
    )


def _text(password: str | bytes | None) -> str | None:
    return password.decode() if isinstance(password, bytes) else password


def _warned(reading: Reading) -> Reading:
    for sentence in reading.without_effect:
        warnings.warn(sentence, SettingWithoutEffect, stacklevel=level_of_users())
    return reading
