"""Settlements as the settle script reads them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from celeriac.brokers.base import Release, ReleaseCause, Room, Settlement
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.brokers.redis.bookings import booking_word, waits_for_start
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.joining import JoinNames, JoinRow, JoinWriter, steps_of
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.records import make_record
from celeriac.ids import new_id
from celeriac.message import Message
from celeriac.wire.properties import reply_to_alone

ResultRow = tuple[str, str, bytes, str, int, int]
"""Key, key of the attempt, record, state, attempt, lifetime in ms: as a result backend of this store writes them."""

BATCH_MAX: Final = 500
BATCH_MAX_BYTES: Final = 32 * 1024 * 1024
"""What one script settles: others wait for the server meanwhile, and it takes no command of more than 1 GiB."""

SETTLE_WITHIN: Final = 10.0
"""Seconds for a settlement, which may be of 32 MiB."""

FIXED_KEYS: Final = 12
FIXED_ARGS: Final = 9

_encode: Final = msgspec.msgpack.Encoder().encode


class HandOver(msgspec.Struct):
    """Say which messages that follow runs are to be claimed by the settlement of these.

    Attributes:
        lists: that have to be empty, so that nobody is passed over.
        queues: from which they may be.
        tags: set aside for them; those that the plan has given away are gone.
        accepts: says whether a message could begin at once.
    """

    lists: Collection[bytes]
    queues: Collection[str]
    tags: deque[int]
    accepts: Callable[[Message], bool]

    def tag_for(self, message: Message) -> int:
        """Return the tag that a message may be claimed under, or 0."""
        properties = message.properties
        if (
            not self.tags
            or message.eta_at is not None
            or message.unique is not None
            or message.queue not in self.queues
            or (properties is not None and reply_to_alone(properties) is None)
            or not self.accepts(message)
        ):
            return 0
        return self.tags.popleft()


class Plan:
    """Gather what a batch of settlements does.

    Args:
        handing: what may be claimed at once, or None.

    Attributes:
        handed: the messages that the script may claim, by the tags that they have then, which follow each other.
        names: keys that the plan names, behind the script's own.
        strings: byte strings that it names, likewise.
        size_bytes: what all of it weighs, roughly.
    """

    def __init__(self, keys: Keys, envelopes: Envelopes, handing: HandOver | None = None) -> None:
        self.handed: dict[int, Message] = {}
        self._handing = handing
        self.names: list[bytes | str] = []
        self.strings: list[bytes] = []
        self.size_bytes = 0
        self._keys = keys
        self._envelopes = envelopes
        self._known: dict[bytes, int] = {}
        self._joins: dict[JoinNames, int] = {}
        self._writer = JoinWriter(self._join_at, self._string, lambda message: envelopes.write(message, new_id()))
        self._steps: list[tuple[object, ...]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(
        self,
        settlement: Settlement,
        row: ResultRow | None,
        others: Sequence[ResultRow] = (),
        joins: JoinRow | None = None,
    ) -> None:
        """Add a settlement, with the row that its result is kept as, those of runs that never begin, and joins."""
        delivery = settlement.delivery
        step = (
            delivery.tag,
            1 if delivery.redelivered else 0,
            self._result(row) if row is not None else 0,
            [self._message(message, self._handing) for message in settlement.publish] if settlement.publish else 0,
            self._letter(settlement) if settlement.dead_reason is not None else 0,
        )
        keeps = settlement.frees is not None or settlement.room is not None or delivery.booking is not None
        if others or joins is not None:
            kept = self._kept(settlement) if keeps else 0
            whole = (*step, kept, [self._result(each) for each in others])
            self._steps.append(whole if joins is None else (*whole, self._joined(joins)))
        elif keeps:
            self._steps.append((*step, self._kept(settlement)))
        else:
            self._steps.append(step)

    def encoded(self) -> bytes:
        return _encode(self._steps)

    def encoded_hand_over(self) -> bytes:
        """Write which lists must be empty before the script claims something; nothing when it is to claim nothing."""
        if not self.handed or self._handing is None:
            return b""
        return _encode([self._name(self._keys.revoked_version), *map(self._name, self._handing.lists)])

    def _result(self, row: ResultRow) -> tuple[object, ...]:
        meta_key, attempt_key, record, state, retries, lifetime_ms = row
        names = self.names
        names.append(meta_key)
        names.append(attempt_key)
        at = FIXED_KEYS + len(names)
        return (at - 1, at, self._string(record), state, retries, lifetime_ms)

    def _message(self, message: Message, handing: HandOver | None = None) -> tuple[object, ...]:
        unique = new_id()
        envelope = self._envelopes.write(message, unique)
        name = self._keys.list_of(message.queue, message.priority)
        tag = 0 if handing is None else handing.tag_for(message)
        if tag:
            self.handed[tag] = message
            envelope = make_record(name, envelope)  # here: a text of 100 kB that a script makes costs Redis 150 us
        common = (self._name(name), self._string(envelope), message.eta_at or 0, unique, tag)
        if message.unique is None:
            return common
        wanted = message.unique
        key = self._name(self._keys.unique(wanted.key))
        return (*common, key, message.task_id, wanted.lasts, wanted.on_conflict.value)

    def _letter(self, settlement: Settlement) -> tuple[object, ...]:
        queue = settlement.delivery.message.queue
        reason = self._string((settlement.dead_reason or "").encode(errors="replace"))
        return (self._name(self._keys.dead_of(queue)), queue, reason)

    def _kept(self, settlement: Settlement) -> tuple[object, ...]:
        key, task_id = settlement.frees, settlement.delivery.message.task_id
        room = 0 if settlement.room is None else self._room(settlement.room)
        return (0 if key is None else self._name(self._keys.unique(key)), task_id, room)

    def _room(self, room: Room) -> tuple[int, ...]:
        return (room.limit, *map(self._name, self._keys.room(room.key)))

    def _joined(self, row: JoinRow) -> tuple[object, ...]:
        counts = [
            (*self._writer.count(one, row), 0 if one.message is None else self._message(one.message))
            for one in row.effects.counts
        ]
        in_doubt = self._name(self._keys.list_of(JOINS_QUEUE))
        return (1 if row.ordered else 0, row.lifetime_ms, in_doubt, [*steps_of(row, self._writer), *counts])

    def _join_at(self, names: JoinNames) -> int:
        at = self._joins.get(names)
        if at is None:
            at = self._joins[names] = FIXED_KEYS + len(self.names) + 1
            self.names += names
        return at

    def _name(self, name: bytes) -> int:
        at = self._known.get(name)
        if at is None:
            self.names.append(name)
            at = self._known[name] = FIXED_KEYS + len(self.names)
        return at

    def _string(self, value: bytes) -> int:
        self.strings.append(value)
        self.size_bytes += len(value)
        return FIXED_ARGS + len(self.strings)


def planned(
    settlements: Sequence[Settlement],
    rows: Iterator[ResultRow],
    joins: Iterator[JoinRow],
    keys: Keys,
    envelopes: Envelopes,
    handing: HandOver | None = None,
) -> Iterator[tuple[Sequence[Settlement], Plan]]:
    """Yield plans that are not too large for one script, each with its settlements, in order.

    Args:
        rows: one for each result of each settlement, in order; empty when records are kept elsewhere.
        joins: one for each settlement that changes joins, likewise.
        handing: what of the messages that follow may be claimed at once, or None; the first plan does that, for a node
            that ends more at a time has other work.
    """
    plan, first = Plan(keys, envelopes, handing), 0
    for at, settlement in enumerate(settlements):
        if len(plan) == BATCH_MAX or plan.size_bytes >= BATCH_MAX_BYTES:
            yield settlements[first:at], plan
            plan, first = Plan(keys, envelopes), at
        row = next(rows, None) if settlement.result is not None else None
        others = [*islice(rows, len(settlement.others))] if settlement.others else ()
        plan.add(settlement, row, others, next(joins, None) if settlement.joins is not None else None)
    yield settlements[first:], plan


def release_plan(releases: Sequence[Release]) -> bytes:
    """Write what the release script is to do: the oldest claim is given back last, so that it comes to lie in front."""
    ordered = sorted(releases, key=lambda release: -release.delivery.tag)
    return _encode(
        [
            (
                release.delivery.tag,
                release.eta_at or 0,
                0 if waits_for_start(release) else 1,
                1 if release.cause is ReleaseCause.CRASH else 0,
                1 if release.cause is ReleaseCause.UNKNOWN_TASK else 0,
                booking_word(release.delivery.booking),
            )
            for release in ordered
        ]
    )


def unseen_plan(tags: Sequence[tuple[int, float | None]]) -> bytes:
    """Write how claims are given back that nobody has had in hands: tag, and due or None for at once."""
    return _encode([(tag, due or 0, 0, 0, 0, 0) for tag, due in sorted(tags, reverse=True)])
