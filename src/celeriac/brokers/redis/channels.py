"""Names of the bus: kombu's channels for what is broadcast, its binding tables and lists for answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from celeriac.brokers.redis.bindings import binding, bound_queues
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.topics import Topic

_SPECIAL: Final = re.compile(r"([*?\[\]\\])")
_ANY_WORDS: Final = re.compile(r"\.?#\.?")
_BETWEEN: Final = "\0"


class Channels:
    """Name the channels of one database.

    Args:
        place: its number is in their names, for publishing knows no databases.
        options: `global_keyprefix`, `fanout_prefix`, `fanout_patterns` and `sentinel_fanout_compat` count.
    """

    def __init__(self, place: RedisPlace, options: RedisOptions) -> None:
        prefixes = [options.fanout_prefix.replace("{db}", str(place.database))]
        if place.sentinel and options.sentinel_fanout_compat:
            prefixes.append(options.fanout_prefix)
        self._prefixes = tuple(options.global_keyprefix + prefix for prefix in dict.fromkeys(prefixes))
        self._with_keys = options.fanout_patterns

    def of(self, exchange: str, routing_key: str) -> list[str]:
        """Return the channels on which something is said."""
        name = f"{exchange}/{routing_key}" if routing_key and self._with_keys else exchange
        return [prefix + name for prefix in self._prefixes]

    def patterns(self, topics: Iterable[Topic]) -> list[str]:
        """Return the patterns of channels on which everything is heard that the topics include, and perhaps more."""
        found = [
            _SPECIAL.sub(r"\\\1", prefix) + name
            for topic in topics
            for name in self._names_for(topic)
            for prefix in self._prefixes
        ]
        return list(dict.fromkeys(found))

    def _names_for(self, topic: Topic) -> list[str]:
        exchange = _SPECIAL.sub(r"\\\1", topic.exchange)
        names = []
        if not self._with_keys or topic.includes(topic.exchange, ""):
            names.append(exchange)
        if self._with_keys and topic.pattern:
            words = [word if word == "*" else _SPECIAL.sub(r"\\\1", word) for word in topic.pattern.split(".")]
            names.append(f"{exchange}/{_ANY_WORDS.sub('*', '.'.join(words))}")
        return names


class Inboxes:
    """Name what belongs to inboxes in one database.

    Args:
        keys: names of keys in general.
    """

    def __init__(self, keys: Keys) -> None:
        self.all = keys.inboxes
        self.deadlines = keys.binding_deadlines
        self._keys = keys

    def table(self, exchange: str) -> bytes:
        """Name the binding table of an exchange."""
        return self._keys.bindings + exchange.encode()

    def member(self, exchange: str, routing_key: str) -> bytes:
        """Return the member of the table that says where answers go."""
        return binding(_queue(exchange, routing_key), routing_key=routing_key, separator=self._keys.separator)

    def lists_for(self, members: Iterable[bytes], routing_key: str) -> list[bytes]:
        """Name the lists to which the members of a table lead from a routing key."""
        queues = bound_queues(members, routing_key, separator=self._keys.separator)
        return [self._keys.list_of(queue) for queue in queues]

    def lists(self, exchange: str, routing_key: str) -> list[bytes]:
        """Name the lists in which answers may lie."""
        return self._keys.lists_of(_queue(exchange, routing_key))

    def entry(self, exchange: str, routing_key: str) -> str:
        """Return what names an inbox among all of them."""
        return f"{exchange}{_BETWEEN}{routing_key}"

    def address(self, entry: bytes) -> tuple[str, str]:
        """Return exchange and routing key of what `entry` has made."""
        exchange, _, routing_key = entry.decode(errors="replace").partition(_BETWEEN)
        return exchange, routing_key


def _queue(exchange: str, routing_key: str) -> str:
    return f"{routing_key}.{exchange}"
