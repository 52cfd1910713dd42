"""What the settings say about a broker on RabbitMQ: from names of settings to options of the place."""

from __future__ import annotations

import math
import ssl
import warnings
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from celeriac.app.config import Settings
from celeriac.app.config.unused import level_of_users
from celeriac.app.failover import in_order
from celeriac.brokers.amqp.options import HEARTBEAT, AmqpOptions, read_options, whole_heartbeat
from celeriac.brokers.amqp.place import AmqpPlace, Unsaid, read_place
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect


def broker_on_rabbitmq(url: str, conf: Settings) -> tuple[AmqpPlace, AmqpOptions]:
    """Return the place of a broker, and how it is reached; warn of what has no effect.

    Args:
        url: or several, with ``;`` between them.
        conf: without a `broker_url` the parts of the place are `broker_host`, `broker_port` and so on.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    place = read_place(url, "broker_url", Unsaid() if conf.broker_url else _parts(conf))
    reading = read_options(conf.broker_transport_options, place.said, setting="broker_transport_options")
    for sentence in reading.without_effect:
        warnings.warn(sentence, SettingWithoutEffect, stacklevel=level_of_users())
    use_ssl = conf.broker_use_ssl
    details = {**(use_ssl if isinstance(use_ssl, Mapping) else {}), **reading.tls}
    tls = _tls(details) if place.encrypted or use_ssl or reading.encrypted else None
    if tls is None and details:
        raise ImproperlyConfigured(
            f"{', '.join(sorted(details))} are about encryption, and broker_url does not ask for it: say amqps://"
        )
    said_heartbeat = conf.value_set_for("broker_heartbeat")
    fields: dict[str, Any] = {
        "connect_timeout": conf.broker_connection_timeout or None,
        "heartbeat": whole_heartbeat(conf.broker_heartbeat) if said_heartbeat else HEARTBEAT,
        "heartbeat_looks": conf.broker_heartbeat_checkrate,
        "login_method": conf.broker_login_method,
        "tls": tls,
        "tls_hostname": details.get("server_hostname"),
        "max_connections": conf.broker_pool_limit or None,
        "acquire_timeout": conf.broker_pool_acquire_timeout,
        "queue_type": conf.task_create_missing_queue_type,
        "max_priority": conf.task_queue_max_priority,
        "delayed_queue_type": conf.broker_native_delayed_delivery_queue_type,
        "consumer_timeout": conf.broker_consumer_timeout or math.inf,
        **reading.fields,
    }
    endpoints = in_order(place.endpoints, conf.broker_failover_strategy)
    return msgspec.structs.replace(place, endpoints=endpoints), AmqpOptions(**fields)


def _parts(conf: Settings) -> Unsaid:
    password = conf.broker_password
    said: dict[str, Any] = {
        "host": conf.broker_host,
        "port": conf.broker_port,
        "username": conf.broker_user,
        "password": password.decode() if isinstance(password, bytes) else password,
        "virtual_host": conf.broker_vhost,
    }
    return Unsaid(**{name: value for name, value in said.items() if value is not None})


def _tls(details: Mapping[str, Any]) -> ssl.SSLContext:
    """Return how a connection is encrypted: details have the names of `ssl.wrap_socket`, with `ssl_` before or not."""
    said = {name.removeprefix("ssl_"): value for name, value in details.items() if value is not None}
    said.pop("server_hostname", None)
    certfile, keyfile, password = (said.pop(name, None) for name in ("certfile", "keyfile", "keyfile_password"))
    verify = _verify(said.pop("cert_reqs", ssl.CERT_REQUIRED))
    hostname = said.pop("check_hostname", verify == ssl.CERT_REQUIRED)
    ciphers, oldest = said.pop("ciphers", None), said.pop("tls_minimum_version", None)
    places = {name: said.pop(ours, None) for name, ours in _AUTHORITIES.items()}
    said.pop("version", None)  # of the protocol: the newest that both know
    if said:
        raise ImproperlyConfigured(
            f"broker_use_ssl says {', '.join(sorted(said))}, which amqps:// does not know; it knows {_KNOWN}"
        )
    try:
        context = ssl.create_default_context(**places)
        if certfile is not None:
            context.load_cert_chain(certfile, keyfile, password)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        if oldest is not None:
            context.minimum_version = oldest
        context.check_hostname = hostname not in (False, "false", "False", "0", 0)
        context.verify_mode = verify
    except (OSError, ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"broker_use_ssl cannot be used: {error}") from error
    return context


def _verify(said: Any) -> ssl.VerifyMode:
    if isinstance(said, str):
        name = said.upper().removeprefix("CERT_")
        if name in _VERIFY:
            return _VERIFY[name]
    elif said in tuple(ssl.VerifyMode):
        return ssl.VerifyMode(said)
    raise ImproperlyConfigured(f"broker_use_ssl must say cert_reqs = ssl.CERT_REQUIRED or the like, got {said!r}")


_VERIFY: Final = {"NONE": ssl.CERT_NONE, "OPTIONAL": ssl.CERT_OPTIONAL, "REQUIRED": ssl.CERT_REQUIRED}
_AUTHORITIES: Final = {"cafile": "ca_certs", "capath": "ca_path", "cadata": "ca_data"}
_KNOWN: Final = (
    "ca_certs, ca_path, ca_data, certfile, keyfile, keyfile_password, cert_reqs, check_hostname, server_hostname, "
    "ciphers and tls_minimum_version"
)
