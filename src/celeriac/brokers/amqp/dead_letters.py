"""Dead letters on RabbitMQ: messages in a queue of their own, published by the node that gives up.

A queue can only be looked into by taking messages out of it and giving them back. So whoever lists dead letters holds
all of them for a moment, and somebody else who lists them meanwhile sees fewer.

Anybody can publish anything to that queue, too. It is listed as what it is, and can be shown and deleted as all others.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.carried import Carried, Outgoing, carry, read_carried
from celeriac.brokers.amqp.failures import Refused
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.publisher import Publisher, ask_until
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.amqp.tables import UNREAD, write_properties
from celeriac.brokers.amqp.topology import DEAD_LETTERS, dead_letter_queue
from celeriac.brokers.amqp.unreadable import unreadable
from celeriac.brokers.base import DeadLetter
from celeriac.exceptions import EncodeError
from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.amqp")

_REASON: Final = "x-celeriac-reason"
_QUEUE: Final = "x-celeriac-queue"
_DIED_AT: Final = "x-celeriac-died-at"
_NUMBER: Final = "x-celeriac-number"
_HEADERS: Final = "x-celeriac-headers"
_OURS: Final = (_REASON, _QUEUE, _DIED_AT, _NUMBER, _HEADERS)

_NUMBER_BITS: Final = 52
_LATEST: Final = 250_000_000_000.0
"""Unix instant before the year 9999: dates end there."""

_ID_MAX_BYTES: Final = 255
_HEADERS_MAX_BYTES: Final = 130_000
"""A little less than a frame of RabbitMQ has, which all headers must fit into."""


class _Found(msgspec.Struct, frozen=True):
    """Be a dead letter that is held for a look.

    Attributes:
        tag: on the channel that holds it.
    """

    tag: int
    letter: DeadLetter


class DeadLetters:
    """Keep dead letters in one virtual host.

    Args:
        keep: how many.
        expires: seconds for which they are kept.
    """

    def __init__(self, publisher: Publisher, routes: Routes, *, keep: int, expires: float) -> None:
        self._publisher = publisher
        self._routes = routes
        self._queue = dead_letter_queue(keep, expires)

    def outgoing(self, message: Message, reason: str | None, *, died_at: float) -> Outgoing:
        """Return how a message is published as a dead letter."""
        ours: dict[str, Any] = {
            _REASON: reason or "",
            _QUEUE: message.queue,
            _DIED_AT: repr(died_at),
            _NUMBER: secrets.randbits(_NUMBER_BITS),
        }
        try:
            carried = carry(message)
        except Exception:  # noqa: BLE001 - whatever is wrong with its headers, they are kept as they are
            carried = carry(msgspec.structs.replace(message, headers=b"{}"))
            ours[_HEADERS] = message.headers.decode("latin-1")
        letter = Carried({**carried.headers, **ours}, _within_limits(carried.properties), carried.body)
        if not _can_be_carried(letter):
            ours[_REASON] = f"{reason or ''}; its headers are left out, for RabbitMQ could not carry them with this"
            ours.pop(_HEADERS, None)
            letter = Carried(ours, letter.properties, letter.body)
        return Outgoing(letter, "", DEAD_LETTERS, (self._queue,))

    def listed(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """List dead letters without their messages, the newest first."""
        with self._all() as (_, found):
            letters = [one.letter for one in found if queue is None or one.letter.queue == queue]
        letters.reverse()
        return [msgspec.structs.replace(letter, message=None) for letter in letters[:limit]]

    def get(self, number: int) -> DeadLetter | None:
        """Return one dead letter with its message, or None when there is none of that number."""
        with self._all() as (_, found):
            return next((one.letter for one in found if one.letter.number == number), None)

    def replay(self, numbers: Collection[int], *, now: float) -> list[str]:
        """Put dead letters back into their queues, and return the task ids; what names no queue stays."""
        with self._all() as (ack, found):
            wanted = []
            for one in _chosen(found, numbers):
                if one.letter.queue:
                    wanted.append(one)
                else:
                    logger.warning(
                        "dead letter %d is not put back, for it does not say into which queue (%s); "
                        "`celeriac dlq discard %d` deletes it",
                        *(one.letter.number, one.letter.reason, one.letter.number),
                    )
            messages = [one.letter.message for one in wanted if one.letter.message is not None]
            outgoing = [
                self._routes.outgoing(msgspec.structs.replace(message, eta_at=None), now=now) for message in messages
            ]
            if outgoing:
                self._publisher.publish(outgoing, deadline_at=ask_until())
            for one in wanted:
                ack(one.tag)
            return [message.task_id for message in messages]

    def discard(self, numbers: Collection[int]) -> int:
        """Delete dead letters and say how many there were."""
        with self._all() as (ack, found):
            wanted = _chosen(found, numbers)
            for one in wanted:
                ack(one.tag)
            return len(wanted)

    def count(self) -> int:
        """Say how many there are."""
        return self._publisher.call(self._ready, "counting dead letters", deadline_at=ask_until())

    def _ready(self, channel: Any) -> int:
        with channel.connection.channel() as asking:
            try:
                return int(asking.queue_declare(DEAD_LETTERS, passive=True).message_count)
            except Refused:
                return 0

    @contextmanager
    def _all(self) -> Iterator[tuple[Callable[[int], None], list[_Found]]]:
        """Hold all dead letters, and a way to delete one; what is not deleted goes back to its place."""
        self._publisher.declare((self._queue,), deadline_at=ask_until())
        with self._publisher.channel("looking at dead letters", deadline_at=ask_until()) as channel:
            found = []
            while (got := channel.connection.get(channel, DEAD_LETTERS, keep=True)) is not None:
                found.append(_Found(got.message.tag, _read(got.message)))
            yield channel.basic_ack, found


def _chosen(found: Iterable[_Found], numbers: Collection[int]) -> list[_Found]:
    known = frozenset(numbers)
    return [one for one in found if one.letter.number in known]


def _within_limits(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return properties with an id that AMQP can carry; the whole of it is in the headers."""
    task_id = str(properties.get("correlation_id") or "")
    return {**properties, "correlation_id": task_id.encode()[:_ID_MAX_BYTES].decode(errors="ignore")}


def _can_be_carried(letter: Carried) -> bool:
    try:
        return len(write_properties(letter)) <= _HEADERS_MAX_BYTES
    except EncodeError:
        return False


def _read(delivered: Delivered) -> DeadLetter:
    """Read what is in the queue, whoever has put it there."""
    carried = delivered.carried
    headers = dict(carried.headers)
    ours = {name: headers.pop(name, None) for name in _OURS}
    queue, reason, number = _text(ours[_QUEUE]), _shown(ours[_REASON]), _number(ours[_NUMBER])
    if not reason and number is None:
        is_read = UNREAD not in headers
        reason = "no node has put it here" if is_read else "its headers cannot be read, nor who has put it here"
    try:
        message = read_carried(Carried(headers, carried.properties, carried.body), queue=queue)
    except EncodeError as error:
        message = unreadable(delivered, queue)
        reason = f"{reason}; {error}"
    if isinstance(ours[_HEADERS], str):
        message = msgspec.structs.replace(message, headers=ours[_HEADERS].encode("latin-1", "replace"))
    return DeadLetter(
        number=_number_by_content(delivered) if number is None else number,
        queue=queue,
        task_id=message.task_id,
        task=_shown(headers.get("task")) or None,
        reason=reason,
        died_at=_instant(ours[_DIED_AT]),
        size_bytes=message.size_bytes,
        message=message,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    """Return text for people, also of bytes that are none here and there."""
    return value.decode(errors="replace") if isinstance(value, bytes) else _text(value)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 1 << _NUMBER_BITS else None


def _number_by_content(delivered: Delivered) -> int:
    """Return a number for what has none, the same at each look."""
    digest = hashlib.blake2b(delivered.raw, digest_size=8)
    digest.update(delivered.carried.body)
    return (int.from_bytes(digest.digest()) & ((1 << _NUMBER_BITS) - 1)) or 1


def _instant(value: Any) -> float:
    """Return when a letter died, as a unix instant; 0.0 when that is not known."""
    try:
        instant = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return instant if 0.0 <= instant <= _LATEST else 0.0
