"""From URLs to brokers and result backends.

An adapter is imported when a URL names it, so nobody pays for the technologies of others.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import parse_qsl

import msgspec

from celeriac.app.config import Settings
from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker
from celeriac.exceptions import ImproperlyConfigured
from celeriac.masking import masked_url

SETTINGS_OF_STORES: Final = (
    "broker_connection_timeout",
    "broker_consumer_timeout",
    "broker_failover_strategy",
    "broker_heartbeat",
    "broker_heartbeat_checkrate",
    "broker_host",
    "broker_login_method",
    "broker_native_delayed_delivery_queue_type",
    "broker_password",
    "broker_pool_acquire_timeout",
    "broker_pool_limit",
    "broker_port",
    "broker_read_url",
    "broker_transport",
    "broker_transport_options",
    "broker_url",
    "broker_use_ssl",
    "broker_user",
    "broker_vhost",
    "broker_write_url",
    "dead_letter_expires",
    "dead_letter_max",
    "message_max_bytes",
    "redis_backend_credential_provider",
    "redis_backend_health_check_interval",
    "redis_backend_use_ssl",
    "redis_client_name",
    "redis_db",
    "redis_host",
    "redis_max_connections",
    "redis_password",
    "redis_port",
    "redis_retry_on_timeout",
    "redis_socket_connect_timeout",
    "redis_socket_keepalive",
    "redis_socket_timeout",
    "redis_username",
    "result_backend",
    "result_backend_transport_options",
    "result_expires",
    "result_failure_expires",
    "result_persistent",
    "result_serializer",
    "task_create_missing_queue_type",
    "task_default_exchange",
    "task_default_exchange_type",
    "task_default_queue",
    "task_default_queue_type",
    "task_default_routing_key",
    "task_queue_max_priority",
    "worker_priority_aging",
)
"""The settings that adapters are made from."""

REDIS_SCHEMES: Final = frozenset(
    ("redis", "rediss", "valkey", "valkeys", "redis+socket", "rediss+socket", "valkey+socket", "unix", "sentinel")
)
"""As `brokers/redis/place.py` has them, which only those import who use Redis."""

AMQP_SCHEMES: Final = frozenset(("amqp", "amqps", "pyamqp", "librabbitmq"))
"""As `brokers/amqp/place.py` has them."""

_RPC: Final = "rpc"

_SYNCHRONOUS: Final = ("NORMAL", "FULL")
_NAMES_IN_CELERY: Final = frozenset(
    (
        "arangodb",
        "azureblockblob",
        "cache",
        "cassandra",
        "consul",
        "cosmosdbsql",
        "couchbase",
        "couchdb",
        "database",
        "db",
        "django-cache",
        "django-db",
        "dynamodb",
        "elasticsearch",
        "file",
        "filesystem",
        "gs",
        "mongodb",
        "s3",
        "sqs",
    )
)
"""Celery takes these without '://' as well."""

_OLD_SPELLINGS: Final = ("sqla+sqlite", "db+sqlite")
_KNOWN: Final = (
    "sqlite:///relative.db, sqlite:////absolute/path.db, redis://host:6379/0, amqp://host:5672// and memory://"
)
_CELERYS_MEMORY: Final = "cache+memory"
"""How Celery says that results stay in this process; they are beside the messages where those do."""

_RESULT_ALIASES: Final = {"redis": "redis://", "rediss": "rediss://", "valkey": "valkey://"}


class InMemory(msgspec.Struct, frozen=True):
    """Keep things in this process, in the store of that name."""

    name: str


class InSqlite(msgspec.Struct, frozen=True):
    """Keep things in a SQLite file."""

    path: Path
    synchronous: str = "NORMAL"


class InRedis(msgspec.Struct, frozen=True):
    """Keep things in a database of Redis; its URL is read when it is used, by what only its users need."""

    url: str


class OnRabbitMQ(msgspec.Struct, frozen=True):
    """Keep messages in a virtual host of RabbitMQ; its URL is read when it is used."""

    url: str


Place = InMemory | InSqlite | InRedis | OnRabbitMQ


def make_broker(url: str | None, conf: Settings, app_name: str | None) -> Broker:
    """Make the broker that a URL names, without connecting it.

    Args:
        url: `broker_url`; None is the app's own SQLite file.
        conf: the settings that adapters look at.
        app_name: names that file.

    Raises:
        ImproperlyConfigured: no broker is meant by this URL; the text says which would be.
    """
    match _broker_place(url, conf, app_name):
        case InMemory(name):
            from celeriac.brokers.memory import MemoryBroker

            return MemoryBroker(
                name,
                dead_letter_max=conf.dead_letter_max,
                dead_letter_expires=conf.dead_letter_expires,
                message_max_bytes=conf.message_max_bytes,
                priority_aging=conf.worker_priority_aging,
            )
        case InSqlite(path, synchronous):
            from celeriac.brokers.sqlite import SqliteBroker

            return SqliteBroker(
                path,
                synchronous=synchronous,
                dead_letter_max=conf.dead_letter_max,
                dead_letter_expires=conf.dead_letter_expires,
                message_max_bytes=conf.message_max_bytes,
                priority_aging=conf.worker_priority_aging,
            )
        case InRedis(found):
            from celeriac.app.redis_places import broker_in_redis
            from celeriac.brokers.redis.broker import RedisBroker

            place, redis_options = broker_in_redis(found, conf)
            return RedisBroker(
                place,
                redis_options,
                dead_letter_max=conf.dead_letter_max,
                dead_letter_expires=conf.dead_letter_expires,
                message_max_bytes=conf.message_max_bytes,
                priority_aging=conf.worker_priority_aging,
            )
        case OnRabbitMQ(found):
            from celeriac.app.amqp_places import broker_on_rabbitmq
            from celeriac.brokers.amqp.broker import AmqpBroker

            amqp_place, amqp_options = broker_on_rabbitmq(found, conf)
            return AmqpBroker(
                amqp_place,
                amqp_options,
                queues=(conf.task_default_queue,),
                dead_letter_max=conf.dead_letter_max,
                dead_letter_expires=conf.dead_letter_expires,
                message_max_bytes=conf.message_max_bytes,
            )
        case never:
            assert_never(never)


def make_backend(url: str | None, broker_url: str | None, conf: Settings, app_name: str | None) -> ResultBackend | None:
    """Make the result backend that a URL names, without connecting it.

    Args:
        url: `result_backend`; None is the broker's own store, on Redis none; ``disabled`` keeps results nowhere.
        broker_url: `broker_url`, which tells that store.
        conf: the settings that adapters look at.
        app_name: names the SQLite file where no URL does.

    Returns:
        None when results are kept nowhere.

    Raises:
        ImproperlyConfigured: no result backend is meant by this URL; the text says which would be.
    """
    if url in ("disabled", "disabled://"):
        return None
    match _backend_place(url, broker_url, conf, app_name):
        case InMemory(name):
            from celeriac.backends.memory import MemoryBackend

            return MemoryBackend(name=name, expires=conf.result_expires, failure_expires=conf.result_failure_expires)
        case InSqlite(path, synchronous):
            from celeriac.backends.sqlite import SqliteBackend

            return SqliteBackend(
                path,
                synchronous=synchronous,
                expires=conf.result_expires,
                failure_expires=conf.result_failure_expires,
            )
        case InRedis(found):
            if not url:
                return None  # as Celery has it
            from celeriac.app.redis_places import results_in_redis
            from celeriac.backends.redis import RedisBackend

            place, redis_options = results_in_redis(found, conf)
            return RedisBackend(
                place, redis_options, expires=conf.result_expires, failure_expires=conf.result_failure_expires
            )
        case OnRabbitMQ(found):
            if not url:
                return None  # as Celery has it
            from celeriac.app.amqp_places import broker_on_rabbitmq
            from celeriac.backends.rpc import RpcBackend

            amqp_place, amqp_options = broker_on_rabbitmq(found, conf)
            return RpcBackend(
                amqp_place,
                amqp_options,
                expires=conf.result_expires,
                persistent=bool(conf.result_persistent),
                content_type=conf.record_form.serializer.content_type,
            )
        case never:
            assert_never(never)


def read_url(url: str, setting: str) -> Place:
    """Return the place that a URL names; `setting` is where it stands, for errors."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() in REDIS_SCHEMES and "://" in url:
        return InRedis(url)
    if scheme.lower() in AMQP_SCHEMES and "://" in url:
        return OnRabbitMQ(url)
    if ";" in rest and "://" in rest:
        raise ImproperlyConfigured(f"{setting} names several places, and this version uses one; name the first alone")
    if scheme in _OLD_SPELLINGS:
        raise ImproperlyConfigured(
            f"{setting} is spelled {masked_url(f'sqlite://{rest}')} here, without the {scheme[:-6]!r} in front"
        )
    match scheme:
        case "memory":
            return InMemory(rest.strip("/") or "default")
        case "sqlite":
            return _read_sqlite(url, rest, setting)
    if "://" not in url and url not in _NAMES_IN_CELERY:
        raise ImproperlyConfigured(f"{setting} is no URL, it has no '://' in it. There are {_KNOWN}")
    raise ImproperlyConfigured(
        f"{setting} names a technology that this version does not have: {scheme!r}. It has {_KNOWN}"
    )


def writes_envelopes(broker_url: str | None) -> bool:
    """Say whether messages are kept there as Celery keeps them, for its programs to read."""
    return broker_url is not None and broker_url.partition("://")[0] in REDIS_SCHEMES | AMQP_SCHEMES


def default_database(app_name: str | None) -> Path:
    """Return the SQLite file of an app that names no broker; each app has its own.

    It lies in the user's data folder, or in ``CELERIAC_HOME``. The folder is made when it is not there.

    Raises:
        ImproperlyConfigured: it cannot be made.
    """
    home = os.environ.get("CELERIAC_HOME")
    folder = Path(home) if home else _data_folder() / "celeriac"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"the folder {folder}, for the database of an app without `broker_url`, cannot be made: {error.strerror}. "
            "Name another in CELERIAC_HOME, or set `broker_url`"
        ) from error
    return folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', app_name or 'default')}.sqlite3"


def _backend_place(url: str | None, broker_url: str | None, conf: Settings, app_name: str | None) -> Place:
    if not url:
        return _broker_place(broker_url, conf, app_name)
    if url.partition("://")[0] == _CELERYS_MEMORY:
        beside = _broker_place(broker_url, conf, app_name)
        return beside if isinstance(beside, InMemory) else InMemory("default")
    if url.partition("://")[0] == _RPC:
        return _read_rpc(broker_url, conf, app_name)
    place = read_url(_RESULT_ALIASES.get(url, url), "result_backend")
    if isinstance(place, OnRabbitMQ):
        raise ImproperlyConfigured(
            "results are not kept on RabbitMQ; say result_backend = rpc:// to have them sent to callers, or "
            "redis://… or sqlite:///… to keep them"
        )
    return place


def _read_rpc(broker_url: str | None, conf: Settings, app_name: str | None) -> OnRabbitMQ:
    place = _broker_place(broker_url, conf, app_name)
    if not isinstance(place, OnRabbitMQ):
        raise ImproperlyConfigured(
            "result_backend = rpc:// sends results over RabbitMQ, and broker_url names another broker; results can be "
            "kept where the messages are: leave result_backend out, or on Redis say redis://…"
        )
    return place


def _broker_place(url: str | None, conf: Settings, app_name: str | None) -> Place:
    transport = conf.broker_transport
    if url:
        return read_url(f"{transport}://{url.partition('://')[2]}" if transport else url, "broker_url")
    if transport or conf.broker_host:
        return read_url(f"{transport or 'amqp'}://", "broker_transport")
    return InSqlite(default_database(app_name))


def _read_sqlite(url: str, rest: str, setting: str) -> InSqlite:
    path, _, query = rest.partition("?")
    if not path.startswith("/"):
        raise ImproperlyConfigured(
            f"{setting} {masked_url(url)!r} needs three slashes before a relative path, four before others"
        )
    if path[1:] in ("", ":memory:"):
        raise ImproperlyConfigured(
            f"{setting} {masked_url(url)!r} names no file; memory:// keeps things in this process"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    synchronous = options.pop("synchronous", "NORMAL").upper()
    if options or synchronous not in _SYNCHRONOUS:
        raise ImproperlyConfigured(
            f"{setting} {masked_url(url)!r} may only say ?synchronous=NORMAL or ?synchronous=FULL"
        )
    return InSqlite(Path(path[1:]), synchronous)


def _data_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
