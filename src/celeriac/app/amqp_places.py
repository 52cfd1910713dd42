"""What the settings say about a broker on RabbitMQ: from names of settings to options of the place."""

from __future__ import annotations

import ssl
from typing import Any

from celeriac.app.config import Settings
from celeriac.brokers.amqp.options import AmqpOptions, TaskQueue
from celeriac.brokers.amqp.place import AmqpPlace, Unsaid, read_place
from celeriac.brokers.amqp.topology import Exchange, task_queue
from celeriac.exceptions import ImproperlyConfigured


def broker_on_rabbitmq(url: str, conf: Settings) -> tuple[AmqpPlace, AmqpOptions]:
    """Return the place of a broker, and how it is reached.

    Args:
        url: or several, with ``;`` between them.
        conf: without a `broker_url` the parts of the place are `broker_host`, `broker_port` and so on.

    Raises:
        ImproperlyConfigured: a setting cannot be what it says; the text names it.
    """
    place = read_place(url, "broker_url", Unsaid() if conf.broker_url else _parts(conf))
    return place, AmqpOptions(
        connect_timeout=conf.broker_connection_timeout or None,
        login_method=conf.broker_login_method,
        tls=_tls(conf.broker_use_ssl, place),
        queue_type=conf.task_default_queue_type,
        max_priority=conf.task_queue_max_priority,
        delayed_queue_type=conf.broker_native_delayed_delivery_queue_type,
        queues=(_default_queue(conf),),
    )


def _default_queue(conf: Settings) -> TaskQueue:
    name = conf.task_default_queue
    return TaskQueue(
        queue=task_queue(name, queue_type=conf.task_default_queue_type, max_priority=conf.task_queue_max_priority),
        exchange=Exchange(name=conf.task_default_exchange or name, type=conf.task_default_exchange_type),
        key=conf.task_default_routing_key or name,
    )


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


def _tls(use_ssl: Any, place: AmqpPlace) -> ssl.SSLContext | None:
    """Return how a connection is encrypted, from `broker_use_ssl` with the names of `ssl.wrap_socket`."""
    if not use_ssl and not place.encrypted:
        return None
    said = dict(use_ssl) if isinstance(use_ssl, dict) else {}
    context = ssl.create_default_context(cafile=said.pop("ca_certs", None))
    certfile, keyfile = said.pop("certfile", None), said.pop("keyfile", None)
    if certfile is not None:
        context.load_cert_chain(certfile, keyfile)
    wanted = said.pop("cert_reqs", ssl.CERT_REQUIRED)
    context.check_hostname = bool(said.pop("check_hostname", wanted == ssl.CERT_REQUIRED))
    context.verify_mode = wanted
    said.pop("server_hostname", None)
    if said:
        raise ImproperlyConfigured(f"broker_use_ssl says {', '.join(sorted(said))}, which amqps:// does not know")
    return context
