"""Joins in Redis: what scripts are given and what they answer. Pure; `brokers/redis/lua/joins.lua` has the rules."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from time import time
from typing import Any, Final

import msgspec

from celeriac.backends.joins import CountedMember, JoinState, KeptJoin
from celeriac.brokers.joins import JOINS_QUEUE, Member
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.joining import JoinNames, JoinRow, JoinWriter, steps_of
from celeriac.ids import new_id
from celeriac.message import Message
from celeriac.wire.envelope import read_envelope, write_envelope
from celeriac.wire.members import told_by_item

_AT_ONCE: Final = 500
"""Steps in one script."""

_AT_ONCE_BYTES: Final = 8 * 1024 * 1024
_FIXED_ARGS: Final = 3

_encode: Final = msgspec.msgpack.Encoder().encode


class JoinCall:
    """Put together one call of the script that changes joins.

    Attributes:
        names: keys of the joins.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._strings: list[bytes] = []
        self._size_bytes = 0
        self._at: dict[JoinNames, int] = {}
        self._groups: dict[int, str] = {}
        self._messages: dict[str, Message] = {}
        self._steps: list[tuple[object, ...]] = []
        self.writer = JoinWriter(self._name, self._string, _envelope)

    @property
    def is_full(self) -> bool:
        return len(self._steps) >= _AT_ONCE or self._size_bytes >= _AT_ONCE_BYTES

    def add(self, steps: Iterable[tuple[object, ...]]) -> None:
        self._steps += steps

    def count(self, member: Member, row: JoinRow) -> None:
        if member.message is not None:
            self._messages[member.group_id] = member.message
        step = self.writer.count(member, row)
        self._groups[self._at[row.names_of(member.group_id)]] = member.group_id
        self._steps.append((*step, 0 if member.message is None else 1))

    def args(self, row: JoinRow) -> list[Word]:
        return [b"1" if row.ordered else b"0", row.lifetime_ms, _encode(self._steps), *self._strings]

    def complete(self, answer: Sequence[Any]) -> Iterator[tuple[str, Message]]:
        """Yield joins that are complete, by any name that is theirs alone, with the messages to publish."""
        for at, envelope in zip(answer[::2], answer[1::2], strict=True):
            message = self._messages.get(self._groups.get(at, ""))
            if message is None and envelope:
                message = read_envelope(envelope, queue=JOINS_QUEUE)
            if message is not None:
                yield self.names[at - 1], message

    def _name(self, names: JoinNames) -> int:
        at = self._at.get(names)
        if at is None:
            at = self._at[names] = len(self.names) + 1
            self.names += names
        return at

    def _string(self, value: bytes) -> int:
        self._strings.append(value)
        self._size_bytes += len(value)
        return _FIXED_ARGS + len(self._strings)


def calls_of(rows: Sequence[JoinRow]) -> Iterator[JoinCall]:
    """Yield the calls that do what rows say: all that is no count in order, then the counts."""
    call = JoinCall()
    for row in rows:
        if call.is_full:
            yield call
            call = JoinCall()
        call.add(steps_of(row, call.writer))
    for row in rows:
        for member in row.effects.counts:
            if call.is_full:
                yield call
                call = JoinCall()
            call.count(member, row)
    yield call


def kept_of(answer: Sequence[Any]) -> KeptJoin | None:
    """Return the join that the script tells of; None when nothing is kept, or another program sees to its body.

    Its message is not looked for: that takes long where there are many members, and nobody asks.
    """
    if len(answer) == 1:
        return None
    _, word, size, added, ended, header, left_ms = answer
    state = JoinState.JOINED if word == b"done" else JoinState.ANNOUNCED if word else JoinState.OPEN
    return KeptJoin(
        size=int(size) if size else None,
        added=int(added or 0),
        counted=ended,
        state=state,
        header=header or None,
        expires_at=time() + left_ms / 1000,
    )


def scored_members(answer: Any) -> list[CountedMember]:
    """Return members from a sorted set's items and scores, which RESP3 answers in pairs."""
    pairs = answer if answer and isinstance(answer[0], (list, tuple)) else zip(answer[::2], answer[1::2], strict=True)
    return [_member(item, _index(float(score))) for item, score in pairs]


def listed_members(answer: Sequence[bytes]) -> list[CountedMember]:
    """Return members from a list's items."""
    return [_member(item, None) for item in answer]


def _member(item: bytes, index: int | None) -> CountedMember:
    task_id, state = told_by_item(item)
    return CountedMember(task_id, index, state, item)


def _index(score: float) -> int | None:
    return None if math.isinf(score) else int(score)


def _envelope(message: Message) -> bytes:
    return write_envelope(message, delivery_tag=new_id())
