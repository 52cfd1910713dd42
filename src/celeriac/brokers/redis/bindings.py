"""Kombu's binding tables: which queues an exchange leads to. Pure.

A table is a set, `_kombu.binding.<exchange>`; a member is routing key, pattern and queue, with a separator between.
A second set, `_kombu.binding_permanent.<exchange>`, has those members that Celery's workers must not sweep away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from celeriac.brokers.redis.keys import Keys


def binding(queue: str, *, routing_key: str | None = None, pattern: str = "", separator: str) -> bytes:
    """Write the member that leads to a queue.

    Args:
        routing_key: None: the queue's name, as Celery binds a queue that has no exchange of its own.
        pattern: a regular expression, of topic exchanges.
        separator: transport option `sep`.
    """
    return separator.join((queue if routing_key is None else routing_key, pattern, queue)).encode()


def tables_and_members(keys: Keys, queues: Iterable[str]) -> tuple[list[bytes], list[bytes]]:
    """Return keys and arguments of the script `bind`, by which a process makes known that queues exist.

    As kombu does it when it declares a queue: its exchange has the same name, and so has the routing key.
    """
    tables: list[bytes] = []
    members: list[bytes] = []
    for queue in queues:
        tables += [kind + queue.encode() for kind in (keys.bindings, keys.permanent_bindings)]
        members += [binding(queue, separator=keys.separator)] * 2
    return tables, members


def bound_queues(members: Iterable[bytes], routing_key: str, *, separator: str) -> Collection[str]:
    """Return the queues to which a table leads from a routing key.

    The type of an exchange is nowhere in Redis. Members whose key is the same are those of a direct exchange; only
    where there are none, the patterns are tried, which a topic exchange has.
    """
    parts = [member.decode(errors="surrogateescape").split(separator) for member in members]
    bindings = [found for found in parts if len(found) == 3]
    exact = sorted({queue for key, _, queue in bindings if key == routing_key})
    return exact or sorted({queue for _, pattern, queue in bindings if pattern and _matches(pattern, routing_key)})


def _matches(pattern: str, routing_key: str) -> bool:
    try:
        return re.match(pattern, routing_key) is not None
    except re.error:
        return False
