"""Messages with unique keys as the script that publishes them reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.base import Conflict
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.keys import Keys
from celeriac.ids import new_ids
from celeriac.message import Message, OnConflict, Unique
from celeriac.wire.unique import UNIQUE_HEADER, unique_of

_NAME: Final = UNIQUE_HEADER.encode()

_encode: Final = msgspec.msgpack.Encoder().encode


def any_unique(messages: Sequence[Message]) -> bool:
    """Say whether one of them wants a unique key."""
    if len(messages) == 1:  # nearly always, and a third of the time
        return messages[0].unique is not None
    return any(message.unique is not None for message in messages)


def may_be_unique(message: Message) -> bool:
    """Say whether a claimed message may have a unique key; nearly none of the others may."""
    return _NAME in message.headers


def key_of(keys: Keys, unique: Unique) -> bytes:
    """Name the key of Redis under which the run is kept that has a unique key."""
    return keys.unique(unique.key)


def runs_of(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return of messages that may be unique the runs that they are: key and task id of each."""
    found = [(message.task_id, unique_of(message.headers)) for message in messages]
    return [(unique.key, task_id) for task_id, unique in found if unique is not None]


class UniquePlan:
    """Say what one script is to store.

    Attributes:
        queues: of the messages.
        names: keys, behind those of the producer.
        envelopes: of the messages, in order.
    """

    def __init__(self, keys: Keys, envelopes: Envelopes, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._known: dict[bytes, int] = {}
        self.queues = list({message.queue for message in messages})
        self.names = [keys.alive, keys.delayed, keys.delayed_counts, keys.queues, keys.replaced, keys.unique_in_use]
        self.envelopes: list[bytes] = []
        self._steps: list[tuple[object, ...]] = []
        for message, word in zip(messages, new_ids(len(messages)), strict=True):
            unique = message.unique
            self.envelopes.append(envelopes.write(message, word))
            self._steps.append(
                (
                    self._name(keys.list_of(message.queue, message.priority)),
                    message.eta_at or 0,
                    word,
                    *((0, "", 0, "") if unique is None else self._wanted(keys, message, unique)),
                )
            )

    def _wanted(self, keys: Keys, message: Message, unique: Unique) -> tuple[object, ...]:
        return (self._name(key_of(keys, unique)), message.task_id, unique.lasts, unique.on_conflict.value)

    def _name(self, name: bytes) -> int:
        at = self._known.get(name)
        if at is None:
            self.names.append(name)
            at = self._known[name] = 2 + len(self.names)
        return at

    def encoded(self) -> bytes:
        return _encode(self._steps)

    def conflicts(self, answer: Sequence[Any], first: int) -> list[Conflict]:
        """Read what the script says was left out.

        Args:
            first: position of the first message among all that are published.
        """
        found = []
        for at, holder in zip(answer[::2], answer[1::2], strict=True):
            unique = self._messages[at - 1].unique
            assert unique is not None, "only unique messages are left out"
            found.append(Conflict(first + at - 1, unique.key, holder.decode(errors="surrogateescape")))
        return found


def unique_batches(messages: Sequence[Message], most: int, most_bytes: int) -> Iterator[tuple[int, Sequence[Message]]]:
    """Yield what single scripts are to store, each with the position of its first message.

    When one of them says `RAISE` it is all of them, as then all are stored or none.
    """
    if any(one.unique is not None and one.unique.on_conflict is OnConflict.RAISE for one in messages):
        yield 0, messages
        return
    first = size = 0
    for at, message in enumerate(messages):
        if at - first >= most or size >= most_bytes:
            yield first, messages[first:at]
            first, size = at, 0
        size += message.size_bytes
    yield first, messages[first:]
