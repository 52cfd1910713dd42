"""Dead letters: kept, listed, shown, replayed, discarded, cleaned away."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.base import DeadLetter
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.records import DeadRecord, make_dead, make_record, split_dead
from celeriac.brokers.redis.scripts import script
from celeriac.exceptions import DecodeError
from celeriac.ids import new_ids
from celeriac.message import Message
from celeriac.wire.envelope import read_envelope, read_envelope_end, read_unreadable, write_envelope
from celeriac.wire.unique import unique_of

_WITHIN: Final = 10.0
_SHARE: Final = 100
_CLEAN_SHARE: Final = 500
_COUNTS_KEPT: Final = 30 * 86_400.0
"""Seconds for which crash counts, and other notes, outlive a message that somebody else has finished."""


class _Entry(msgspec.Struct, frozen=True):
    """Hold of one letter what scripts are to know."""

    number: int
    queue: str
    task_id: str
    headers: bytes


class DeadLetters:
    """Look after the dead letters of one database.

    Args:
        link: returns this process's connections.
        keep: letters kept per queue.
        expires: seconds for which they are kept.
        max_bytes: larger messages are not shown.
        ahead: seconds that the server's clock is taken to be ahead.
    """

    def __init__(
        self,
        link: Callable[[], Link],
        keys: Keys,
        *,
        keep: int,
        expires: float,
        max_bytes: int,
        ahead: Callable[[], float],
    ) -> None:
        self._link = link
        self._keys = keys
        self._keep = keep
        self._expires = expires
        self._max_bytes = max_bytes
        self._ahead = ahead
        self._cursors: dict[bytes, bytes] = {}

    def newest(self, queue: str | None, limit: int) -> list[DeadLetter]:
        """List letters without their messages, the newest first."""
        queues = self._queues() if queue is None else [queue]
        commands = [("ZREVRANGE", self._keys.dead_of(name), 0, limit - 1) for name in queues]
        answers = self._link().pipeline(commands, deadline_at=_until(), repeatable=True) if commands and limit else []
        numbers = sorted((int(number) for found in answers for number in found), reverse=True)
        return [letter for letter, _ in self._read(numbers[:limit])]

    def whole(self, number: int) -> DeadLetter | None:
        """Return one letter with its message, or without it when it is too large to be shown."""
        found = list(self._read([number]))
        if not found:
            return None
        letter, _ = found[0]
        if letter.size_bytes > self._max_bytes:
            return letter
        stored = self._link().call("HGET", self._keys.dead, number, deadline_at=_until(), repeatable=True)
        if stored is None:
            return None
        message = _message_of(dead := split_dead(stored), self._keys.queue_of(dead.list_name))
        return msgspec.structs.replace(letter, message=message)

    def replay(self, numbers: Collection[int]) -> list[str]:
        """Put letters back into their lists and return the task ids."""
        done: list[str] = []
        keys = self._keys
        for share in _shares([entry for _, entry in self._read(sorted(set(numbers)))]):
            names = [keys.dead, keys.counts, keys.replaced, keys.unique_in_use]
            args: list[Word] = [self._ahead()]
            for entry in share:
                unique, letters = unique_of(entry.headers), keys.dead_of(entry.queue)
                names += [letters, letters if unique is None else keys.unique(unique.key)]
                args += [entry.number, entry.task_id, 0 if unique is None else unique.lasts]
            replayed = self._link().run(script("replay"), names, args, deadline_at=_until(), repeatable=False)
            done += [entry.task_id for entry, was_there in zip(share, replayed, strict=True) if was_there]
        return done

    def discard(self, numbers: Collection[int]) -> int:
        """Delete letters and say how many there were."""
        discarded = 0
        for share in _shares([entry for _, entry in self._read(sorted(set(numbers)))]):
            names = [self._keys.dead, *(self._keys.dead_of(entry.queue) for entry in share)]
            discarded += self._link().run(
                script("discard"), names, [entry.number for entry in share], deadline_at=_until(), repeatable=False
            )
        return discarded

    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        """Keep messages that the broker has forgotten already; a repeat after a lost answer changes nothing."""
        if not letters:
            return
        queues = list(dict.fromkeys(message.queue for message, _ in letters))
        words: list[Word] = []
        for (message, reason), unique in zip(letters, new_ids(len(letters)), strict=True):
            name = self._keys.list_of(message.queue, message.priority)
            record = make_record(name, write_envelope(message, delivery_tag=unique))
            words += [queues.index(message.queue) + 1, make_dead(0.0, reason, record)]
        with self._link().session(deadline_at=deadline_at) as session:
            names = [self._keys.sent(session.producer), self._keys.dead, self._keys.dead_last, self._keys.queues]
            names += [self._keys.dead_of(queue) for queue in queues]
            args: list[Word] = [session.next_number(), self._ahead(), len(queues), *queues, *words]
            session.run(script("bury"), names, args, deadline_at=deadline_at)

    def clean(self) -> int:
        """Delete a bounded share of what is kept no longer, old counts too, and say how many letters that were."""
        link, deleted = self._link(), 0
        for share in _shares(self._queues()):
            names = [self._keys.dead, *map(self._keys.dead_of, share)]
            args: list[Word] = [self._keep, self._expires, self._ahead(), _CLEAN_SHARE]
            deleted += link.run(script("clean"), names, args, deadline_at=_until())
        for name in (self._keys.counts, self._keys.replaced, self._keys.bookings):
            args = [self._cursors.get(name, b"0"), _COUNTS_KEPT, self._ahead()]
            self._cursors[name] = link.run(script("clean_counts"), [name], args, deadline_at=_until())
        return deleted

    def _queues(self) -> list[str]:
        members = self._link().call("SMEMBERS", self._keys.queues, deadline_at=_until(), repeatable=True)
        return [name.decode(errors="replace") for name in members]

    def _read(self, numbers: Sequence[int]) -> Iterable[tuple[DeadLetter, _Entry]]:
        """Yield the letters there are, each with what scripts are to know of it, in the order asked for."""
        for share in _shares(numbers):
            stored = self._link().run(script("letters"), [self._keys.dead], list(share), deadline_at=_until())
            for number, parts in zip(share, stored, strict=True):
                if parts:
                    head, end, left_out = parts
                    yield self._letter(number, split_dead(head + end, left_out=left_out))

    def _letter(self, number: int, dead: DeadRecord) -> tuple[DeadLetter, _Entry]:
        queue = self._keys.queue_of(dead.list_name)
        message = _message_of(dead, queue)
        letter = DeadLetter(
            number=number,
            queue=queue,
            task_id=message.task_id,
            task=_task_name(message.headers),
            reason=dead.reason,
            died_at=dead.died_at,
            size_bytes=_size_of(dead, message),
        )
        return letter, _Entry(number, queue, message.task_id, message.headers)


def _message_of(dead: DeadRecord, queue: str) -> Message:
    try:
        read: Callable[..., Message] = read_envelope if len(dead.envelope) == dead.size_bytes else read_envelope_end
        return read(dead.envelope, queue=queue)
    except DecodeError:
        return read_unreadable(dead.envelope, queue=queue)


def _size_of(dead: DeadRecord, message: Message) -> int:
    """Return the size of a message that was read from an envelope, or from its end."""
    left_out = dead.size_bytes - len(dead.envelope)
    if not left_out:
        return message.size_bytes
    if not message.headers:
        return dead.size_bytes  # it cannot be read, and all of it is its body
    in_base64 = left_out + dead.envelope.find(b'"') - len(b'{"body": "')
    return message.size_bytes + in_base64 * 3 // 4


class _Named(msgspec.Struct):
    task: str | None = None


_read_named: Final = msgspec.json.Decoder(_Named).decode


def _task_name(headers: bytes) -> str | None:
    try:
        return _read_named(headers).task
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _shares(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[at : at + _SHARE] for at in range(0, len(items), _SHARE))


def _until() -> float:
    return time.monotonic() + _WITHIN
