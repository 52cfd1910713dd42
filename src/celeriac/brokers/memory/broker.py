"""The producer's side of the memory broker, and what people do with queues and dead letters."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    DEAD_LETTER_EXPIRES,
    DEAD_LETTER_MAX,
    MESSAGE_MAX_BYTES,
    Broker,
    Capabilities,
    Conflict,
    DeadLetter,
    Incarnation,
    QueueDepth,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import Spread, spread
from celeriac.brokers.memory.bus import MemoryBus
from celeriac.brokers.memory.consumer import MemoryConsumer
from celeriac.brokers.memory.store import NOBODY, Row, Transaction, store_named
from celeriac.brokers.revocations import FEED_MAX, REVOCATIONS_MAX, Feed, Revocation
from celeriac.brokers.topology import Binding, Queue
from celeriac.brokers.uniqueness import Refused
from celeriac.clock import Clock
from celeriac.message import Message
from celeriac.states import FAILURE
from celeriac.wire.unique import unique_of

CLEAN_AT_ONCE: Final = 1_000
"""Dead letters that one `clean` deletes at most."""


class MemoryBroker(Broker):
    """Keep messages in this process.

    Args:
        name: brokers of one name share one store.
        clock: tells when messages are due and leases have stood still; None: the store's.
        dead_letter_max: dead letters kept per queue.
        dead_letter_expires: seconds for which a dead letter is kept.
        message_max_bytes: larger messages are delivered without what makes them large, as a fault.
        revocations_max: ids kept as revoked.
        priority_aging: see `Aging`.
    """

    capabilities = Capabilities(crosses_processes=False, survives_restart=False)

    def __init__(
        self,
        name: str = "default",
        *,
        clock: Clock | None = None,
        dead_letter_max: int = DEAD_LETTER_MAX,
        dead_letter_expires: float = DEAD_LETTER_EXPIRES,
        message_max_bytes: int = MESSAGE_MAX_BYTES,
        revocations_max: int = REVOCATIONS_MAX,
        priority_aging: int | None = None,
    ) -> None:
        self.priority_aging = priority_aging
        self.store = store_named(name)
        self.clock = clock or self.store.clock
        self.dead_letter_max = dead_letter_max
        self.dead_letter_expires = dead_letter_expires
        self.message_max_bytes = message_max_bytes
        self.revocations_max = revocations_max
        self._declared = Declared()

    @property
    def url(self) -> str:
        return f"memory://{self.store.name}"

    def open(self, *, deadline_at: float) -> None:
        with self.store.locked():
            pass

    def close(self) -> None:
        """Do nothing: there is nothing to let go of, and the messages stay."""

    def publish(self, messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        found = Spread([], [])
        try:
            with self.store.transaction() as transaction:
                found = spread(messages, self._behind)
                conflicts = self.store.publish(transaction, found.messages, self.clock.now())
        except Refused as refused:
            return found.conflicts([refused.conflict])
        self.store.note_published(found.messages, conflicts)
        self.store.wake()
        return found.conflicts(conflicts)

    def declare(self, queues: Iterable[Queue]) -> None:
        self._declared.add(queues)

    def bindings(self, exchange: str, *, deadline_at: float) -> list[Binding]:
        with self.store.locked():
            return self._behind(exchange)

    def _behind(self, exchange: str) -> list[Binding]:
        return list(dict.fromkeys(self._declared.behind(exchange) + self.store.behind(exchange)))

    def depths(self, queues: Collection[str] | None = None) -> list[QueueDepth]:
        now = self.clock.now()
        with self.store.locked():
            counts = Counter((row.message.queue, _position(row, now)) for row in self.store.rows.values())
            dead = {queue: len(letters) for queue, letters in self.store.dead.items() if letters}
        names = {queue for queue, _ in counts} | dead.keys() if queues is None else set(queues)
        return [
            QueueDepth(
                queue=name,
                ready=counts[name, "ready"],
                delayed=counts[name, "delayed"],
                claimed=counts[name, "claimed"],
                dead=dead.get(name, 0),
            )
            for name in sorted(names)
        ]

    def delayed(self, queues: Collection[str], *, limit: int = 100) -> list[Message]:
        now = self.clock.now()
        with self.store.locked():
            rows = [row for row in self.store.rows.values() if _position(row, now) == "delayed"]
        found = [msgspec.structs.replace(row.message, eta_at=row.due_at) for row in rows if row.message.queue in queues]
        return sorted(found, key=lambda message: message.eta_at or 0.0)[:limit]

    def purge(self, queue: str) -> int:
        with self.store.transaction() as transaction:
            return self.store.delete_waiting(transaction, queue)

    def dead_letters(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        with self.store.locked():
            letters = [
                letter
                for name, table in self.store.dead.items()
                if queue is None or name == queue
                for letter in table.values()
            ]
        newest = heapq.nlargest(limit, letters, key=lambda letter: letter.number)
        return [msgspec.structs.replace(letter, message=None) for letter in newest]

    def dead_letter(self, number: int) -> DeadLetter | None:
        with self.store.locked():
            letter = self._find_dead(number)
        if letter is None or letter.size_bytes <= self.message_max_bytes:
            return letter
        return msgspec.structs.replace(letter, message=None)

    def replay(self, numbers: Collection[int]) -> list[str]:
        with self.store.transaction() as transaction:
            letters = self._remove_dead(transaction, numbers)
            for letter in letters:
                self._publish_again(transaction, letter)
        self.store.wake()
        return [letter.task_id for letter in letters]

    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        with self.store.transaction() as transaction:
            for message, reason in letters:
                self.store.bury(transaction, message, reason, now=self.clock.now(), keep=self.dead_letter_max)

    def discard(self, numbers: Collection[int]) -> int:
        with self.store.transaction() as transaction:
            return len(self._remove_dead(transaction, numbers))

    def revoke(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        with self.store.transaction() as transaction:
            return self.store.revoke(transaction, revocations)

    def revocations(self, since: int = 0, *, limit: int = FEED_MAX) -> Feed:
        with self.store.locked():
            return self.store.revocations(since, limit=limit, now=self.clock.now())

    def revoked(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        now = self.clock.now()
        with self.store.locked():
            found = [self.store.revoked[task_id].revocation for task_id in task_ids if task_id in self.store.revoked]
        return {one.task_id: one for one in found if one.expires_at > now}

    def claimed(self, task_ids: Collection[str]) -> set[str]:
        wanted = set(task_ids)
        with self.store.locked():
            return {
                row.message.task_id
                for row in self.store.rows.values()
                if row.token != NOBODY and row.message.task_id in wanted
            }

    def owners(self) -> list[Incarnation]:
        with self.store.locked():
            return [self.store.owners[number].incarnation for number in sorted(self.store.owners)]

    def clean(self) -> int:
        now = self.clock.now()
        expired_at = now - self.dead_letter_expires
        with self.store.transaction() as transaction:
            expired = [
                letter.number
                for letters in self.store.dead.values()
                for letter in letters.values()
                if letter.died_at <= expired_at
            ]
            deleted = len(self._remove_dead(transaction, expired[:CLEAN_AT_ONCE]))
            deleted += self.store.delete_over(transaction, now=now, at_most=CLEAN_AT_ONCE)
            deleted += self.store.delete_revocations(
                transaction, now=now, keep=self.revocations_max, at_most=CLEAN_AT_ONCE
            )
            let_in = self.store.let_in_everywhere(transaction)
        if let_in:
            self.store.wake()
        return deleted

    def consumer(self, incarnation: Incarnation) -> MemoryConsumer:
        return MemoryConsumer(
            self.store,
            incarnation,
            clock=self.clock,
            dead_letter_max=self.dead_letter_max,
            message_max_bytes=self.message_max_bytes,
            declared=self._declared,
            aging=Aging(self.priority_aging),
        )

    def bus(self) -> MemoryBus:
        return MemoryBus(self.store.name, clock=self.clock)

    def _find_dead(self, number: int) -> DeadLetter | None:
        return next((letters[number] for letters in self.store.dead.values() if number in letters), None)

    def _remove_dead(self, transaction: Transaction, numbers: Collection[int]) -> list[DeadLetter]:
        found = [letter for letter in map(self._find_dead, sorted(set(numbers))) if letter is not None]
        for letter in found:
            transaction.write(self.store.dead[letter.queue], letter.number, None)
        return found

    def _publish_again(self, transaction: Transaction, letter: DeadLetter) -> None:
        assert letter.message is not None, "letters in the table have their messages"
        # Its ETA is over, or it would not have been claimed, or replaying it now is what somebody asked for.
        unique = unique_of(letter.message.headers)
        again = msgspec.structs.replace(letter.message, eta_at=None, unique=unique)
        self.store.publish(transaction, [again], self.clock.now())
        kept = self.store.results.get(letter.task_id)
        if kept is not None and kept.state == FAILURE:
            self.store.set_result(transaction, letter.task_id, None)


def _position(row: Row, now: float) -> str:
    if row.token != NOBODY:
        return "claimed"
    return "delayed" if row.due_at is not None and row.due_at > now else "ready"
