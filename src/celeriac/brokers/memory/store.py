"""What the memory broker and the memory result backend keep, and how it changes: all of a change, or nothing of it.

Everything here runs under the lock of one `Store`, in whatever thread calls. Messages, owners, dead letters and
results are tables; the heaps and sets beside them are indexes, and only the setters of their tables add to them.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from celeriac.brokers.aging import lower_in_turn
from celeriac.brokers.base import PUT_ASIDE_AT, Booking, Conflict, DeadLetter, Incarnation, ResultSink, Room
from celeriac.brokers.rates import Flow
from celeriac.brokers.revocations import Feed, Kept, Revocation, is_news, said_by
from celeriac.brokers.topology import Binding
from celeriac.brokers.uniqueness import REPLACED_FOR, Holder, Refused, Verdict, is_replaced, judge, until_of
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message, OnConflict

K = TypeVar("K")
V = TypeVar("V")

NOBODY: Final = 0
"""Owner, and fencing token, of what is not claimed; owners are numbered from 1."""

_CLAIM_BITS: Final = 32


def token_of(owner: int, claim: int) -> int:
    """Return the fencing token of an owner's claim: another one for each, so that none can be mistaken for a later."""
    return (owner << _CLAIM_BITS) + claim


def owner_of(token: int) -> int:
    """Return the number of the owner who made a claim."""
    return token >> _CLAIM_BITS


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Keep one message and who has it.

    Attributes:
        tag: also the message's place among those of its priority: it never changes.
        token: fencing token of the claim, or `NOBODY`.
        due_at: unix instant before which nobody may claim it, or None.
        redelivered: True once a claim of it was given back.
        called: the room for which it waited, and where there is place for it now; or None.
    """

    tag: int
    message: Message
    token: int = NOBODY
    due_at: float | None = None
    crashes: int = 0
    node_losses: int = 0
    releases: int = 0
    redelivered: bool = False
    booking: Booking | None = None
    called: str | None = None


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """Keep by which run another one was replaced, until a unix instant."""

    by: str
    until: float


class Bound(msgspec.Struct, frozen=True, gc=False):
    """Keep what leads to a queue, and the owner with whom it ends, or `NOBODY`."""

    bindings: tuple[Binding, ...]
    owner: int = NOBODY


class Revoked(msgspec.Struct, frozen=True, gc=False):
    """Keep a revocation, and the version that came with it."""

    version: int
    revocation: Revocation


class KeptResult(msgspec.Struct, frozen=True, kw_only=True):
    """Keep the record of one run, until a unix instant or for ever."""

    state: str
    record: bytes
    retries: int
    expires_at: float | None


@dataclass(slots=True)
class Owner:
    """Keep one owner's lease: a counter that it raises, and what its node would lose in a crash."""

    number: int
    incarnation: Incarnation
    beats: int = 0
    started: set[int] = field(default_factory=set)


class Transaction:
    """Undo what was written when an operation cannot be finished."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def before_write(self, undo: Callable[[], None]) -> None:
        """Note how to take back the write that comes next. Fault tests override this to fail in its place."""
        self._undo.append(undo)

    def before_commit(self) -> None:
        """Do nothing: everything is written. Fault tests override this to fail at the last moment."""

    def write(self, table: dict[K, V], key: K, value: V | None) -> None:
        """Put a value into a table as its newest entry, or delete the entry with None."""
        before = table.get(key)
        self.before_write(lambda: _put(table, key, before))
        _put(table, key, value)

    def roll_back(self) -> None:
        for undo in reversed(self._undo):
            undo()


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    table.pop(key, None)
    if value is not None:
        table[key] = value


class Store:
    """Hold the tables of one name in one process.

    Attributes:
        changed: notified after every commit that stored results.
        told_of_results: called after it, in any thread and not under the lock.
        clock: what time it is, for brokers and backends that are told of no other clock.
        published: all that was published, in order, once somebody has put a list here; tests do.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock: Clock = SYSTEM_CLOCK
        self.published: list[Message] | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)
        self.told_of_results: set[Callable[[], None]] = set()
        self._numbers = itertools.count(1)
        self._wakers: set[Callable[[], None]] = set()
        self.rows: dict[int, Row] = {}
        self.owners: dict[int, Owner] = {}
        # Ordered: it loses its oldest entries one by one, which a plain dict would step over for ever after.
        self.dead: defaultdict[str, OrderedDict[int, DeadLetter]] = defaultdict(OrderedDict)
        self.results: dict[str, KeptResult] = {}
        self.keys: dict[str, Holder] = {}
        self.replaced: dict[str, Replaced] = {}
        self.flows: dict[str, Flow] = {}
        self.revoked: dict[str, Revoked] = {}
        self.bound: dict[str, Bound] = {}
        self._revoked_version: dict[str, int] = {}
        self.inside: dict[str, tuple[tuple[int, int], ...]] = {}
        self._aside: defaultdict[str, list[int]] = defaultdict(list)
        self._called: defaultdict[str, set[int]] = defaultdict(set)
        self._ready: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._delayed: list[tuple[float, int]] = []
        self._held: defaultdict[int, set[int]] = defaultdict(set)
        self._expiring: list[tuple[float, str]] = []
        self.joins: dict[str, Any] = {}
        """Joins by the id of their group, as `backends/memory_joins.py` keeps them; members and additions likewise."""
        self.join_members: dict[str, dict[tuple[str, int | None], Any]] = {}
        self.join_additions: dict[str, dict[tuple[str, int | None], Any]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads out.

        Raises:
            BrokerUnavailable: this is a forked copy of the store, which nobody would ever look into.
        """
        if os.getpid() != self._pid:
            raise BrokerUnavailable(
                f"memory store {self.name!r} lives in process {self._pid} and this is process {os.getpid()}: "
                f"use a broker that crosses processes, such as sqlite://"
            )
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Make what is written in the block take place as a whole, or not at all when the block raises."""
        with self.locked():
            transaction = self.begin()
            try:
                yield transaction
                transaction.before_commit()
            except BaseException:
                transaction.roll_back()
                raise

    def begin(self) -> Transaction:
        return Transaction()

    def next_number(self) -> int:
        """Return a number that nothing in this store had before: a tag, an owner, a dead letter."""
        return next(self._numbers)

    def set_row(self, transaction: Transaction, tag: int, row: Row | None) -> None:
        """Write a message's row, or delete it with None."""
        before = self.rows.get(tag)
        transaction.before_write(lambda: self._set_row(tag, before))
        self._set_row(tag, row)

    def _set_row(self, tag: int, row: Row | None) -> None:
        # Heap entries of the row's former state stay where they are; whoever pops them finds that they are stale.
        before = self.rows.pop(tag, None)
        if before is not None and before.token != NOBODY:
            held = self._held[owner_of(before.token)]
            held.discard(tag)
            if not held:
                del self._held[owner_of(before.token)]
        if row is None:
            return
        self.rows[tag] = row
        if row.token != NOBODY:
            self._held[owner_of(row.token)].add(tag)
        elif row.due_at is not None:
            heapq.heappush(self._delayed, (row.due_at, tag))
        else:
            heapq.heappush(self._ready[row.message.queue], (row.message.priority, tag))

    def publish(self, transaction: Transaction, messages: Iterable[Message], now: float) -> list[Conflict]:
        """Store new messages, and return which of them are left out because another run has their key.

        Raises:
            Refused: one of them that is left out says `RAISE`.
        """
        conflicts: list[Conflict] = []
        for position, message in enumerate(messages):
            holder = None if message.unique is None else self._refusing(transaction, message, now)
            if holder is None:
                self.add(transaction, message)
                continue
            assert message.unique is not None, "others meet no holder"
            conflict = Conflict(position, message.unique.key, holder.task_id)
            if message.unique.on_conflict is OnConflict.RAISE:
                raise Refused(conflict)
            conflicts.append(conflict)
        return conflicts

    def behind(self, exchange: str) -> list[Binding]:
        """Return what leads from an exchange to queues."""
        return [each for bound in self.bound.values() for each in bound.bindings if each.exchange == exchange]

    def note_published(self, messages: Sequence[Message], conflicts: Iterable[Conflict] = ()) -> None:
        """Note what was published, without what was left out, for those who want to know."""
        if self.published is not None:
            left_out = {conflict.position for conflict in conflicts}
            self.published += [one for position, one in enumerate(messages) if position not in left_out]

    def _refusing(self, transaction: Transaction, message: Message, now: float) -> Holder | None:
        """Give a message its unique key, or return who has it."""
        unique = message.unique
        assert unique is not None, "asked for unique messages only"
        holder = self.keys.get(unique.key)
        if unique.on_conflict is OnConflict.KEEP and message.task_id in self.replaced:
            return None  # it is not to begin, and must be in nobody's way
        verdict = judge(unique, message.task_id, holder, now)
        if verdict is Verdict.REFUSE:
            return holder
        if verdict is Verdict.YIELD and holder is not None:
            self._note_replaced(transaction, message.task_id, holder.task_id, now)
        if verdict is Verdict.TAKE:
            if holder is not None and is_replaced(holder, message.task_id, now):
                self._note_replaced(transaction, holder.task_id, message.task_id, now)
            transaction.write(self.keys, unique.key, Holder(message.task_id, until_of(message, unique, now)))
        return None

    def _note_replaced(self, transaction: Transaction, task_id: str, by: str, now: float) -> None:
        transaction.write(self.replaced, task_id, Replaced(by, now + REPLACED_FOR))

    def free(self, transaction: Transaction, key: str, task_id: str) -> None:
        """End what is kept of a unique run; a key that another run has is left alone."""
        holder = self.keys.get(key)
        if holder is not None and holder.task_id == task_id:
            transaction.write(self.keys, key, None)
        if task_id in self.replaced:
            transaction.write(self.replaced, task_id, None)

    def add(self, transaction: Transaction, message: Message) -> None:
        """Store a new message, whoever has its key."""
        if message.unique is not None:
            message = msgspec.structs.replace(message, unique=None)
        tag = self.next_number()
        self.set_row(transaction, tag, Row(tag=tag, message=message, due_at=message.eta_at))

    def promote(self, now: float) -> None:
        """Make ready what is due, in the place that it always had."""
        while self._delayed and self._delayed[0][0] <= now:
            due_at, tag = heapq.heappop(self._delayed)
            row = self.rows.get(tag)
            if row is not None and row.token == NOBODY and row.due_at == due_at:
                self._set_row(tag, msgspec.structs.replace(row, due_at=None))

    def first_ready(self, queue: str) -> Row | None:
        """Return the next message of a queue and leave it there."""
        heap = self._ready.get(queue)
        while heap:
            row = self.rows.get(heap[0][1])
            if row is not None and row.token == NOBODY and row.due_at is None:
                return row
            heapq.heappop(heap)
        self._ready.pop(queue, None)
        return None

    def lower_ready(self, queue: str, turn: int) -> Row | None:
        """Return the next message of a lower priority of a queue, each in its turn; else as `first_ready`."""
        first = self.first_ready(queue)
        entries = [tag for _, tag in self._ready.get(queue, ())]  # all of them: the heap knows no more than its first
        waiting = [row for tag in entries if (row := self.rows.get(tag)) and row.token == NOBODY and row.due_at is None]
        lower = lower_in_turn(sorted({row.message.priority for row in waiting}), turn)
        if lower is None:
            return first
        return min((row for row in waiting if row.message.priority == lower), key=lambda row: row.tag)

    def claim(self, transaction: Transaction, row: Row, token: int) -> None:
        """Give a message that `first_ready` or `lower_ready` has returned to the owner of a claim."""
        self.set_row(transaction, row.tag, msgspec.structs.replace(row, token=token))
        heap = self._ready[row.message.queue]
        if heap and heap[0][1] == row.tag:
            heapq.heappop(heap)  # last: an entry that is gone while its row waits would park the message

    def next_due_at(self) -> float | None:
        """Return the unix instant at which to promote again, or None when nothing is delayed."""
        return self._delayed[0][0] if self._delayed else None

    def held_by(self, owner: int) -> frozenset[int]:
        """Return the tags of what an owner has claimed."""
        return frozenset(self._held.get(owner, ()))

    def delete_waiting(self, transaction: Transaction, queue: str) -> int:
        """Delete the messages of a queue that nobody has claimed and say how many they were."""
        tags = [tag for tag, row in self.rows.items() if row.message.queue == queue and row.token == NOBODY]
        ids = {self.rows[tag].message.task_id for tag in tags} if self.keys else ()
        for key, task_id in [(key, one.task_id) for key, one in self.keys.items() if one.task_id in ids]:
            self.free(transaction, key, task_id)
        for tag in tags:
            self.set_row(transaction, tag, None)
        # Nobody may ever look at these entries again, or only when their time comes.
        self._ready.pop(queue, None)
        self._delayed = [entry for entry in self._delayed if entry[1] in self.rows]
        heapq.heapify(self._delayed)
        return len(tags)

    def delete_owner(self, transaction: Transaction, owner: int, *, lost: bool) -> int:
        """Give back what an owner holds, forget the owner and say how many messages that were.

        Args:
            lost: its node died, which counts against the messages that were with a child.
        """
        started = self.owners[owner].started if lost and owner in self.owners else set()
        tags = self.held_by(owner)
        for tag in tags:
            self.give_back(transaction, tag, node_losses=int(tag in started))
        transaction.write(self.owners, owner, None)
        self.end_queues_of(transaction, owner)
        return len(tags)

    def end_queues_of(self, transaction: Transaction, owner: int, *, but: Iterable[str] = ()) -> None:
        """Delete the queues that were an owner's, and what waits in them."""
        kept = set(but)
        for queue in [name for name, bound in self.bound.items() if bound.owner == owner != NOBODY]:
            if queue not in kept:
                transaction.write(self.bound, queue, None)
                self.delete_waiting(transaction, queue)

    def give_back(
        self,
        transaction: Transaction,
        tag: int,
        *,
        due_at: float | None = None,
        crashes: int = 0,
        node_losses: int = 0,
        releases: int = 0,
        booking: Booking | None = None,
    ) -> None:
        """Return a claimed message to its queue, raising its counters by what is given; it keeps its last booking."""
        row = self.rows[tag]
        self.set_row(
            transaction,
            tag,
            Row(
                tag=tag,
                message=row.message,
                due_at=due_at,
                crashes=row.crashes + crashes,
                node_losses=row.node_losses + node_losses,
                releases=row.releases + releases,
                redelivered=True,
                booking=booking or row.booking,
                called=row.called,
            ),
        )

    def bury(self, transaction: Transaction, message: Message, reason: str, *, now: float, keep: int) -> None:
        """Keep a message as a dead letter; the oldest letters of its queue make room for it.

        Args:
            keep: how many the queue may have.
        """
        letters = self.dead[message.queue]
        letter = DeadLetter(
            number=self.next_number(),
            queue=message.queue,
            task_id=message.task_id,
            task=_task_name(message.headers),
            reason=reason,
            died_at=now,
            size_bytes=message.size_bytes,
            message=message,
        )
        transaction.write(letters, letter.number, letter)
        while len(letters) > keep:
            transaction.write(letters, next(iter(letters)), None)

    def set_result(self, transaction: Transaction, task_id: str, result: KeptResult | None) -> None:
        """Write the record of a run, or delete it with None."""
        before = self.results.get(task_id)
        transaction.before_write(lambda: self._set_result(task_id, before))
        self._set_result(task_id, result)

    def _set_result(self, task_id: str, result: KeptResult | None) -> None:
        _put(self.results, task_id, result)
        if result is not None and result.expires_at is not None:
            heapq.heappush(self._expiring, (result.expires_at, task_id))

    def delete_expired(self, transaction: Transaction, *, now: float, at_most: int) -> int:
        """Delete records whose time is over, the oldest first, and say how many."""
        deleted = 0
        while deleted < at_most and self._expiring and self._expiring[0][0] <= now:
            expires_at, task_id = self._expiring[0]
            result = self.results.get(task_id)
            if result is not None and result.expires_at == expires_at:
                self.set_result(transaction, task_id, None)
                deleted += 1
            heapq.heappop(self._expiring)  # last, as in `claim_first`
        return deleted

    def delete_over(self, transaction: Transaction, *, now: float, at_most: int) -> int:
        """Delete unique keys, and notes of replaced runs, that have ended by themselves, and say how many."""
        keys = [key for key, holder in self.keys.items() if holder.until <= now][:at_most]
        ids = [task_id for task_id, one in self.replaced.items() if one.until <= now][: at_most - len(keys)]
        for key in keys:
            transaction.write(self.keys, key, None)
        for task_id in ids:
            transaction.write(self.replaced, task_id, None)
        return len(keys) + len(ids)

    @property
    def revoked_version(self) -> int:
        """The version of the last revocation; 0 before the first."""
        return self._revoked_version.get("last", 0)

    def revoke(self, transaction: Transaction, revocations: Iterable[Revocation]) -> list[str]:
        """Keep revocations, and return the ids of those that were news."""
        news = []
        for one in revocations:
            kept = self.revoked.get(one.task_id)
            if is_news(None if kept is None else _kept(kept.revocation), one):
                version = self.revoked_version + 1
                transaction.write(self._revoked_version, "last", version)
                transaction.write(self.revoked, one.task_id, Revoked(version, one))
                news.append(one.task_id)
        return news

    def revocations(self, since: int, *, limit: int, now: float) -> Feed:
        """Return what was revoked after a version and has not expired."""
        found = sorted((one for one in self.revoked.values() if one.version > since), key=lambda one: one.version)
        more = len(found) > limit
        found = found[:limit]
        version = found[-1].version if more else self.revoked_version
        return Feed(version, [one.revocation for one in found if one.revocation.expires_at > now], more)

    def delete_revocations(self, transaction: Transaction, *, now: float, keep: int, at_most: int) -> int:
        """Delete the revocations that have expired, and the oldest of too many; say how many."""
        over = len(self.revoked) - keep
        oldest_first = sorted(self.revoked.items(), key=lambda item: item[1].version)
        ids = [
            task_id
            for place, (task_id, one) in enumerate(oldest_first)
            if place < over or one.revocation.expires_at <= now
        ][:at_most]
        for task_id in ids:
            transaction.write(self.revoked, task_id, None)
        return len(ids)

    def enter(self, transaction: Transaction, row: Row, room: Room) -> bool:
        """Let a claimed message in, or put it aside; say whether it is in."""
        inside = self._still_inside(room.key)
        if (row.tag, row.token) in inside:
            return True
        if row.called == room.key:
            is_in = len(inside) < room.limit
        else:
            taken = len(inside) + len(self._still_called(room.key))
            is_in = taken < room.limit and self._first_aside(room.key) is None
        if is_in:
            self.set_row(transaction, row.tag, msgspec.structs.replace(row, called=None))
            transaction.write(self.inside, room.key, (*inside, (row.tag, row.token)))
        else:
            aside = msgspec.structs.replace(row, token=NOBODY, due_at=PUT_ASIDE_AT, redelivered=True, called=None)
            self.set_row(transaction, row.tag, aside)
            heapq.heappush(self._aside[room.key], row.tag)
        return is_in

    def let_in(self, transaction: Transaction, room: Room) -> bool:
        """Call as many of those that were put aside as there is room for; say whether there were any."""
        inside = self._still_inside(room.key)
        if inside != self.inside.get(room.key, ()):
            transaction.write(self.inside, room.key, inside or None)
        left = room.limit - len(inside) - len(self._still_called(room.key))
        called = 0
        while called < left and (row := self._first_aside(room.key)) is not None:
            # Whoever looks for the next one takes this one's entry away, which a rollback must bring back.
            transaction.before_write(partial(heapq.heappush, self._aside[room.key], row.tag))
            self.set_row(transaction, row.tag, msgspec.structs.replace(row, due_at=None, called=room.key))
            self._called[room.key].add(row.tag)
            called += 1
        return called > 0

    def _still_inside(self, key: str) -> tuple[tuple[int, int], ...]:
        return tuple(
            (tag, token)
            for tag, token in self.inside.get(key, ())
            if (row := self.rows.get(tag)) is not None and row.token == token
        )

    def _still_called(self, key: str) -> set[int]:
        called = self._called.get(key)
        if not called:
            return set()
        called.intersection_update(
            [tag for tag in called if (row := self.rows.get(tag)) is not None and row.called == key]
        )
        return called

    def _first_aside(self, key: str) -> Row | None:
        heap = self._aside.get(key)
        while heap:
            row = self.rows.get(heap[0])
            if row is not None and row.token == NOBODY and row.due_at == PUT_ASIDE_AT:
                return row
            heapq.heappop(heap)  # called, or deleted
        return None

    def let_in_everywhere(self, transaction: Transaction) -> bool:
        """Call one of those that were put aside wherever nobody is inside; say whether there was any."""
        let_in = [self.let_in(transaction, Room(key, 1)) for key in list(self._aside)]
        return any(let_in)

    def listen(self, waker: Callable[[], None]) -> None:
        """Have `waker` called, in any thread, whenever there may be something to claim."""
        self._wakers.add(waker)

    def unlisten(self, waker: Callable[[], None]) -> None:
        self._wakers.discard(waker)

    def wake(self) -> None:
        """Call every waker. Not under the lock: they may do anything."""
        for waker in list(self._wakers):
            waker()


def _kept(revocation: Revocation) -> Kept:
    return Kept(revocation.at, revocation.expires_at, said_by(revocation))


class _TaskHeader(msgspec.Struct):
    task: str | None = None


_read_task_header = msgspec.json.Decoder(_TaskHeader).decode


def _task_name(headers: bytes) -> str | None:
    try:
        return _read_task_header(headers).task
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class StoreSink(ResultSink):
    """Be a result backend that keeps its records in a `Store`.

    Attributes:
        kept_in: the store.
    """

    kept_in: Store


_stores: dict[str, Store] = {}
_stores_lock = threading.Lock()


def store_named(name: str) -> Store:
    """Return the one store of that name in this process."""
    with _stores_lock:
        return _stores.setdefault(name, Store(name))


def forget_store(name: str) -> None:
    """Have the next one who asks for that name get an empty store; whoever has the old one goes on with it.

    Without the lock: a finalizer may call this in the middle of `store_named`, in the same thread.
    """
    _stores.pop(name, None)
