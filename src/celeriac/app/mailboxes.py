"""How the queues of those who listen on the bus are kept, by the settings. Only RabbitMQ has such queues."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.app.config import SETTINGS
from celeriac.app.config.unused import level_of_users
from celeriac.brokers.mailbox import Mailbox
from celeriac.exceptions import ImproperlyConfigured, SettingWithoutEffect

if TYPE_CHECKING:
    from celeriac.app.application import Celery

_KEPT: Final = ("ttl", "expires", "exclusive", "durable")


def control_mailbox(app: Celery, node: str = "") -> Mailbox:
    """Return how a queue of commands for a node is kept, or one of answers to a program.

    Raises:
        ImproperlyConfigured: it would be durable and exclusive.
    """
    conf = app.conf
    _check("control_queue_", exclusive=conf.control_queue_exclusive, durable=conf.control_queue_durable)
    _warn_where_there_are_none(app, [f"control_queue_{one}" for one in _KEPT])
    return Mailbox(
        name=f"{node}.{conf.control_exchange}.pidbox" if node else "",
        ttl=conf.control_queue_ttl,
        expires=conf.control_queue_expires,
        exclusive=conf.control_queue_exclusive,
        durable=conf.control_queue_durable,
    )


def event_mailbox(
    app: Celery,
    node_id: str,
    *,
    prefix: str | None = None,
    ttl: float | None = None,
    expires: float | None = None,
    exclusive: bool | None = None,
    durable: bool | None = None,
) -> Mailbox:
    """Return how a queue of events is kept: as is said here, else in the settings.

    Args:
        node_id: what the listener is called.

    Raises:
        ImproperlyConfigured: it would be durable and exclusive.
    """
    conf = app.conf
    prefix = prefix or conf.event_queue_prefix
    exclusive = conf.event_queue_exclusive if exclusive is None else exclusive
    durable = conf.event_queue_durable if durable is None else durable
    _check("event_queue_", exclusive=exclusive, durable=durable)
    _warn_where_there_are_none(app, [f"event_queue_{one}" for one in (*_KEPT, "prefix")])
    return Mailbox(
        name=f"{prefix}.{node_id}",
        prefix=prefix,
        ttl=conf.event_queue_ttl if ttl is None else ttl,
        expires=conf.event_queue_expires if expires is None else expires,
        exclusive=exclusive,
        durable=durable,
    )


def _check(prefix: str, *, exclusive: bool, durable: bool) -> None:
    if exclusive and durable:
        raise ImproperlyConfigured(
            f"{prefix}exclusive and {prefix}durable cannot both be True: an exclusive queue goes with its connection. "
            f"Set {prefix}exclusive to False"
        )


def _warn_where_there_are_none(app: Celery, names: Sequence[str]) -> None:
    """Warn of settings that were changed although the bus has no queues for listeners."""
    changed = [name for name in names if app.conf.get(name) != SETTINGS[name].default]
    if changed and not app.bus.capabilities.has_mailboxes:
        warnings.warn(
            f"{', '.join(changed)}: no effect on {app.bus.url}, where listeners have no queues of their own; they are "
            "for RabbitMQ",
            SettingWithoutEffect,
            stacklevel=level_of_users(),
        )
