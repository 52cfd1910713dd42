"""Kombu's binding tables: which queues an exchange leads to. Pure.

A table is a set, `_kombu.binding.<exchange>`; a member is routing key, pattern and queue, with a separator between.
A second set, `_kombu.binding_permanent.<exchange>`, has those members that Celery's workers must not sweep away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, Protocol

from celeriac.brokers.declared import Declared
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.topology import DIRECT, HEADERS, TOPIC, Binding


def binding(queue: str, *, routing_key: str | None = None, pattern: str = "", separator: str) -> bytes:
    """Write the member that leads to a queue.

    Args:
        routing_key: None: the queue's name, as Celery binds a queue that has no exchange of its own.
        pattern: a regular expression, of topic exchanges.
        separator: transport option `sep`.
    """
    return separator.join((queue if routing_key is None else routing_key, pattern, queue)).encode()


class Leading(Protocol):
    """Know what leads to queues."""

    def leads_to(self, name: str) -> list[Binding]:
        """Return what leads to a queue, beside its name."""
        ...


def tables_and_members(
    keys: Keys, queues: Iterable[str], declared: Leading | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Return keys and arguments of the script `bind`, by which a process makes known that queues exist.

    As kombu does it when it declares a queue. The exchange of one that was not declared has the queue's name, and so
    has the routing key. Kombu knows no exchanges of headers on Redis, and would take them for direct ones.
    """
    tables: list[bytes] = []
    members: list[bytes] = []
    for queue in queues:
        for lead in (Declared() if declared is None else declared).leads_to(queue):
            if lead.kind == HEADERS:
                continue
            tables += [kind + lead.exchange.encode() for kind in (keys.bindings, keys.permanent_bindings)]
            members += [member_of(lead, keys.separator)] * 2
    return tables, members


def member_of(lead: Binding, separator: str) -> bytes:
    """Write a binding as a member of its exchange's table."""
    pattern = topic_pattern(lead.routing_key) if lead.kind == TOPIC else ""
    return binding(lead.queue, routing_key=lead.routing_key, pattern=pattern, separator=separator)


def topic_pattern(routing_key: str) -> str:
    """Return the regular expression that kombu makes of the key of a topic exchange."""
    words = [_WORDS.get(word) or _escaped(word) for word in routing_key.split(".")]
    return "^" + r"\.".join(words) + "$"


_WORDS: Final = {"*": r"[^\.]+", "#": r".*?"}


def _escaped(word: str) -> str:
    """Escape as kombu does, not as `re` does: members of a table are the same if their bytes are."""
    return "".join(sign if sign.isalnum() or sign in "#*" else f"\\{sign}" for sign in word)


def read_members(exchange: str, members: Iterable[bytes], separator: str) -> list[Binding]:
    """Return the bindings of a table. Its exchange is of the type that they tell: topics have patterns."""
    found = []
    for member in members:
        parts = member.decode(errors="surrogateescape").split(separator)
        if len(parts) == 3:
            key, pattern, queue = parts
            kind = TOPIC if pattern else DIRECT
            found.append(Binding(exchange=exchange, kind=kind, routing_key=key, queue=queue))
    return found


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
