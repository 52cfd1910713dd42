"""What is revoked, in a stream: a queue that RabbitMQ keeps, and that everybody reads from where they want.

Each entry is one revocation; its offset tells the version. So nodes that were down, and those to come, are told, too.
A stream does not tell where it ends; whoever reads it puts a mark there before, and reads up to that, beginning with
the entry that was read last. Where another one stands in its place, or none, the stream is another one than before, as
on the next server of a list: it is read from its beginning, and versions go on from where they were.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.frames import Delivered
from celeriac.brokers.amqp.publisher import Publisher, ask_until
from celeriac.brokers.amqp.topology import REVOCATIONS, Queue, revocation_stream
from celeriac.brokers.revocations import (
    REVOCATION_EXPIRES,
    Feed,
    Kept,
    Revocation,
    is_news,
    kept_revocation,
    said_by,
)
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable
from celeriac.ids import new_id
from celeriac.wire.properties import PERSISTENT

OFFSET: Final = "x-stream-offset"

MARK: Final = "x-celeriac-mark"
"""Header of an entry that tells its reader that all before it has come, and nothing else."""

_AT_ONCE: Final = 1_000

_SILENT_FOR: Final = 1.0
"""Seconds without a message, after which a mark is not waited for where it should be."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """Be what the stream has of one revocation."""

    task_id: str
    at: float
    expires_at: float
    said: str


class RevokedOnRabbitMQ:
    """Keep what is revoked in one virtual host.

    Args:
        keep: ids that are known here; the oldest are forgotten first.
    """

    def __init__(self, publisher: Publisher, *, keep: int, clock: Clock) -> None:
        self._publisher = publisher
        self._keep = keep
        self._clock = clock
        self._stream = revocation_stream(REVOCATION_EXPIRES)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, _Entry]] = {}
        self._next = 0
        self._last: tuple[bytes, str] | None = None  # the body and the mark of the entry before the next one
        self._before = 0  # offsets of the streams that this one has taken the place of
        self._version = 0
        _all.add(self)

    def after_fork(self) -> None:
        """Begin anew when another thread, which the child does not have, was amid what is known."""
        was_amid, self._lock = self._lock.locked(), threading.Lock()
        if was_amid:
            self._known = {}
            self._expect_another_stream()

    def add(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        """Keep revocations, and return the ids of those that are news."""
        if not revocations:
            return []
        with self._caught_up(deadline_at):
            news: dict[str, Revocation] = {}
            for one in revocations:
                before = news.get(one.task_id)
                kept = _kept(_entry(before)) if before is not None else self._kept(one.task_id)
                if is_news(kept, one):
                    news[one.task_id] = one
            outgoing = [
                _outgoing(self._stream, one.task_id, msgspec.json.encode(_entry(one)), {}) for one in news.values()
            ]
            if outgoing:
                self._publisher.publish(outgoing, deadline_at=deadline_at)
            return list(news)

    def since(self, version: int, *, limit: int) -> Feed:
        """Return what was revoked after a version."""
        with self._caught_up(ask_until()):
            later = sorted((pair for pair in self._known.values() if pair[0] > version), key=lambda pair: pair[0])
            told, more = later[:limit], len(later) > limit
            upto = told[-1][0] if more else self._version
            now = self._clock.now()
            return Feed(upto, [_revocation(entry) for _, entry in told if entry.expires_at > now], more)

    def version(self, *, deadline_at: float) -> int:
        """Return the version of what is revoked now."""
        with self._caught_up(deadline_at):
            return self._version

    def version_at(self, offset: int) -> int:
        """Return the version that an entry of the stream makes."""
        return self._before + offset + 1

    def among(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations of those ids that are revoked."""
        if not task_ids:
            return {}
        with self._caught_up(ask_until()):
            found = {task_id: self._known[task_id][1] for task_id in task_ids if task_id in self._known}
        now = self._clock.now()
        return {task_id: _revocation(entry) for task_id, entry in found.items() if entry.expires_at > now}

    def _kept(self, task_id: str) -> Kept | None:
        found = self._known.get(task_id)
        if found is None or found[1].expires_at <= self._clock.now():
            return None
        return _kept(found[1])

    @contextmanager
    def _caught_up(self, deadline_at: float) -> Iterator[None]:
        """Know all that is revoked by now, and let no other thread read on meanwhile."""
        lock = self._lock
        if not lock.acquire(timeout=max(0.0, deadline_at - time.monotonic())):
            raise BrokerUnavailable(
                f"rabbitmq at {self._publisher.place.address} did not answer in time what is revoked, which another "
                "thread has asked for"
            )
        try:
            self._catch_up(deadline_at)
            yield
        finally:
            lock.release()

    def _catch_up(self, deadline_at: float) -> None:
        """Read what has come since the last look."""
        mark = new_id()
        self._publisher.publish([_outgoing(self._stream, mark, b"", {MARK: mark})], deadline_at=deadline_at)
        with self._publisher.channel("reading what is revoked", deadline_at=deadline_at) as channel:
            channel.basic_qos(0, _AT_ONCE, False)
            while not self._read_up_to(mark, channel):  # it was published, so it comes; the deadline ends this, too
                self._expect_another_stream()

    def _expect_another_stream(self) -> None:
        """Read from the beginning next; versions go on from where they are."""
        self._before, self._next, self._last = self._before + self._next, 0, None

    def _read_up_to(self, mark: str, channel: Any) -> bool:
        """Read on until a mark comes; False when the stream is another one than before."""
        begin, is_over, is_same = self._next, False, self._last is None

        def take(message: Delivered) -> None:
            nonlocal is_over, is_same
            if is_over:  # the channel is being closed, and on one that is closed an ack ends the connection
                return
            channel.basic_ack(message.tag)
            headers = message.carried.headers
            offset = headers.get(OFFSET)
            if not isinstance(offset, int):  # nobody of us has written it, and what comes next tells its own
                return
            found = str(headers.get(MARK))
            entry = message.carried.body, found
            is_same = is_same or (offset == begin - 1 and entry == self._last)
            if is_same:
                self._take(offset, entry, is_mark=MARK in headers)
                is_over = found == mark
            else:
                is_over = offset >= begin - 1  # a stream begins at the chunk that has the offset

        connection = channel.connection
        connection.watch(channel.channel_id, take)
        consumer = channel.basic_consume(REVOCATIONS, arguments={OFFSET: max(0, begin - 1)})
        while not is_over:
            try:
                connection.drain_events(timeout=_SILENT_FOR)
            except TimeoutError:
                is_over = not is_same
        if not is_same:
            channel.basic_cancel(consumer)
        return is_same

    def _take(self, offset: int, written: tuple[bytes, str], *, is_mark: bool) -> None:
        if offset < self._next:  # read before
            return
        self._next, self._last = offset + 1, written
        if is_mark:
            return
        try:
            entry = msgspec.json.decode(written[0], type=_Entry)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return  # what nobody of us has written
        self._version = self.version_at(offset)
        self._known.pop(entry.task_id, None)
        self._known[entry.task_id] = (self._version, entry)
        while len(self._known) > self._keep:
            del self._known[next(iter(self._known))]


_all: weakref.WeakSet[RevokedOnRabbitMQ] = weakref.WeakSet()


def _after_fork() -> None:
    for one in list(_all):
        one.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _outgoing(stream: Queue, name: str, body: bytes, headers: dict[str, Any]) -> Outgoing:
    return Outgoing(
        Carried(headers, {"delivery_mode": PERSISTENT, "correlation_id": name}, body), "", stream.name, (stream,)
    )


def _entry(revocation: Revocation) -> _Entry:
    return _Entry(revocation.task_id, revocation.at, revocation.expires_at, said_by(revocation))


def _kept(entry: _Entry) -> Kept:
    return Kept(entry.at, entry.expires_at, entry.said)


def _revocation(entry: _Entry) -> Revocation:
    return kept_revocation(entry.task_id, entry.at, entry.expires_at, entry.said)
