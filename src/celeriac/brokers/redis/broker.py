"""The producer's side of the broker on Redis, and what people do with queues and dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    DEAD_LETTER_EXPIRES,
    DEAD_LETTER_MAX,
    MESSAGE_MAX_BYTES,
    Broker,
    Capabilities,
    Checkup,
    Conflict,
    DeadLetter,
    Incarnation,
    QueueDepth,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import is_said, spread, unroutable
from celeriac.brokers.redis.bindings import read_members, tables_and_members
from celeriac.brokers.redis.broadcasts import Broadcasts
from celeriac.brokers.redis.bus import RedisBus
from celeriac.brokers.redis.channels import Channels
from celeriac.brokers.redis.consumer import RedisConsumer
from celeriac.brokers.redis.dead_letters import DeadLetters
from celeriac.brokers.redis.depths import Depths
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.leaving import RedisLeaving
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.owners import read_owners
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.restoring import Restorer
from celeriac.brokers.redis.revoked import RevokedInRedis
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.redis.server import check_up
from celeriac.brokers.redis.session import Session
from celeriac.brokers.redis.uniqueness import UniquePlan, any_unique, unique_batches
from celeriac.brokers.revocations import FEED_MAX, REVOCATIONS_MAX, Feed, Revocation
from celeriac.brokers.topology import Binding, Queue
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import BrokerUnavailable
from celeriac.ids import new_id, new_ids
from celeriac.message import Message, Route

ASK_WITHIN: Final = 10.0
"""Seconds for what people ask."""

BATCH_MAX: Final = 10_000
BATCH_MAX_BYTES: Final = 16 * 1024 * 1024
"""What one script stores: others wait for the server meanwhile."""

_TELL_EVERY: Final = 60.0
_QUEUES_TOLD: Final = 4096


def in_step() -> float:
    """Take the server's clock as it is."""
    return 0.0


class RedisBroker(Broker):
    """Keep messages in one database of Redis.

    Args:
        place: where.
        options: how connections are made and keys are called.
        dead_letter_max: dead letters kept per queue.
        dead_letter_expires: seconds for which they are kept.
        message_max_bytes: larger messages are not handed to workers.
        revocations_max: ids kept as revoked.
        priority_aging: see `Aging`.
        clock: what this process tells standing leases by.
        ahead: seconds that the server's clock is taken to be ahead; tests move it.
    """

    capabilities = Capabilities(crosses_processes=True, survives_restart=True, has_server=True)

    def __init__(
        self,
        place: RedisPlace,
        options: RedisOptions | None = None,
        *,
        dead_letter_max: int = DEAD_LETTER_MAX,
        dead_letter_expires: float = DEAD_LETTER_EXPIRES,
        message_max_bytes: int = MESSAGE_MAX_BYTES,
        revocations_max: int = REVOCATIONS_MAX,
        priority_aging: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        ahead: Callable[[], float] = in_step,
    ) -> None:
        self.place = place
        self.options = options if options is not None else RedisOptions()
        self.keys = Keys(self.options.global_keyprefix, separator=self.options.sep, steps=self.options.priority_steps)
        self.message_max_bytes = message_max_bytes
        self._envelopes = Envelopes(self.options.body_encoding)
        self._channels = Channels(place, self.options)
        self.clock = clock
        self._ahead = ahead
        self._letters = DeadLetters(
            self.link,
            self.keys,
            keep=dead_letter_max,
            expires=dead_letter_expires,
            max_bytes=message_max_bytes,
            ahead=ahead,
        )
        self._revoked = RevokedInRedis(self.link, self.keys, self.options, keep=revocations_max, ahead=ahead)
        self._depths = Depths(self.link, self.keys)
        self._restorer = Restorer(self.link, self.keys, self.options, ahead=ahead)
        self._priority_aging = priority_aging
        self._declared = Declared()
        self._broadcasts = Broadcasts(self.link, self.keys, self._depths)
        self._told: dict[str, float] = {}
        self._publish_keys = [self.keys.alive, self.keys.delayed, self.keys.delayed_counts, self.keys.queues]

    @property
    def url(self) -> str:
        return self.place.url

    def link(self) -> Link:
        """Return this process's connections."""
        return Link.at(self.place, self.options)

    def open(self, *, deadline_at: float) -> None:
        self.link().call("PING", deadline_at=deadline_at, repeatable=True)

    def check_up(self) -> Checkup:
        return check_up(self.link(), deadline_at=time.monotonic() + ASK_WITHIN, keeps_messages=True)

    def close(self) -> None:
        self.link().close()

    def consumer(self, incarnation: Incarnation) -> RedisConsumer:
        return RedisConsumer(
            self.place,
            self.options,
            self.keys,
            incarnation,
            message_max_bytes=self.message_max_bytes,
            clock=self.clock,
            ahead=self._ahead,
            declared=self._declared,
            letters=self._letters,
            broadcasts=self._broadcasts,
            aging=Aging(self._priority_aging),
        )

    def bus(self) -> RedisBus:
        return RedisBus(self.place, self.options)

    # -- publishing ---------------------------------------------------------------------------------------------

    def publish(self, messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        try:
            if messages[0].route is not None if len(messages) == 1 else any(one.route is not None for one in messages):
                return self._publish_routed(messages, deadline_at)
            return self._publish(messages, deadline_at)
        except BrokerUnavailable:
            self._told.clear()  # what was told may not have arrived, or be gone with a server
            raise

    def declare(self, queues: Iterable[Queue]) -> None:
        self._declared.add(queues)

    def bindings(self, exchange: str, *, deadline_at: float) -> list[Binding]:
        """Return the bindings of kombu's table, into which those go first that this process has declared."""
        declared = self._declared.behind(exchange)
        new = self._untold([each.queue for each in declared])
        with self.link().session(deadline_at=deadline_at) as session:
            if new:
                tables, members = tables_and_members(self.keys, new, self._declared)
                queues = list(dict.fromkeys(new))
                self._bind(
                    session,
                    [*tables, *(self.keys.queues for _ in queues)],
                    [*members, *queues],
                    deadline_at,
                )
            table = self.keys.bindings + exchange.encode()
            found = session.call("SMEMBERS", table, deadline_at=deadline_at, repeatable=True)
        stored = read_members(exchange, found, self.keys.separator)
        return list(dict.fromkeys(declared + stored))

    def _publish_routed(self, messages: Sequence[Message], deadline_at: float) -> Sequence[Conflict]:
        """Publish messages of which some go to exchanges: into the queues behind them, or to all who listen."""
        known: dict[str, list[Binding]] = {}

        def behind(exchange: str) -> list[Binding]:
            if exchange not in known:
                known[exchange] = self.bindings(exchange, deadline_at=deadline_at)
            return known[exchange]

        found = spread(messages, behind, keep=is_said)
        for message in found.messages:
            if message.route is not None:
                self._say(message, message.route, deadline_at)
        queued = [at for at, message in enumerate(found.messages) if message.route is None]
        conflicts = self._publish([found.messages[at] for at in queued], deadline_at)
        return [Conflict(found.origins[queued[one.position]], one.key, one.task_id) for one in conflicts]

    def _say(self, message: Message, route: Route, deadline_at: float) -> None:
        envelope = self._envelopes.write(message, new_id())
        commands = [("PUBLISH", channel, envelope) for channel in self._channels.of(route.exchange, route.routing_key)]
        heard = self.link().pipeline(commands, deadline_at=deadline_at, repeatable=True)
        if route.mandatory and not any(heard):
            raise unroutable(message, route, [])

    def _publish(self, messages: Sequence[Message], deadline_at: float) -> Sequence[Conflict]:
        if not messages:
            return ()
        if len(messages) == 1 and self._publish_alone(messages[0], deadline_at):
            return ()
        if any_unique(messages):
            with self.link().session(deadline_at=deadline_at) as session:
                return self._store_unique(session, messages, deadline_at)
        with self.link().session(deadline_at=deadline_at) as session:
            begun = False
            for batch in self._batches(messages):
                try:
                    self._store(session, *batch, deadline_at)
                except BrokerUnavailable as exc:
                    exc.maybe_published |= begun
                    raise
                begun = True
        return ()

    def _publish_alone(self, message: Message, deadline_at: float) -> bool:
        """Publish a message that is like most of them; say whether it is."""
        queue = message.queue
        if message.eta_at is not None or message.unique is not None:
            return False
        envelope = self._envelopes.write(message, new_id())
        name = self.keys.list_of(queue, message.priority)
        with self.link().session(deadline_at=deadline_at) as session:
            if self._told.get(queue, 0.0) <= time.monotonic():
                tables, members = tables_and_members(self.keys, self._untold([queue]), self._declared)
                self._bind(session, [*tables, self.keys.queues], [*members, queue], deadline_at)
            keys = [self.keys.sent(session.producer), name]
            session.run(script("publish_one"), keys, [session.next_number(), envelope], deadline_at=deadline_at)
            if self.options.publish_wait_replicas:
                self._await_replicas(session, deadline_at)
        return True

    def _batches(self, messages: Sequence[Message]) -> Iterator[tuple[list[bytes], list[str], list[Word]]]:
        """Yield what single scripts are to store: lists, queues and runs of messages for the same list."""
        uniques = new_ids(len(messages))
        names: dict[bytes, int] = {}
        words: list[Word] = []
        queues: set[str] = set()
        size = stored = at = 0
        for (queue, priority, _), run in groupby(messages, lambda one: (one.queue, one.priority, one.eta_at)):
            name = self.keys.list_of(queue, priority)
            together = list(run)
            while together:
                if stored >= BATCH_MAX or size >= BATCH_MAX_BYTES:
                    yield list(names), list(queues), words
                    names, words, queues, size, stored = {}, [], set(), 0, 0
                envelopes: list[bytes] = []
                for message in together[: BATCH_MAX - stored]:
                    envelopes.append(self._envelopes.write(message, uniques[at + len(envelopes)]))
                    size += len(envelopes[-1])
                    if size >= BATCH_MAX_BYTES:
                        break
                many = len(envelopes)
                index = names.setdefault(name, len(names) + 1)
                words += _run(index, together[:many], uniques[at : at + many], envelopes)
                queues.add(queue)
                stored += many
                at += many
                together = together[many:]
        yield list(names), list(queues), words

    def _store(
        self, session: Session, names: list[bytes], queues: Sequence[str], words: list[Word], deadline_at: float
    ) -> None:
        new = self._untold(queues)
        if new:
            self._bind(session, *tables_and_members(self.keys, new, self._declared), deadline_at)
        keys = [self.keys.sent(session.producer), *self._publish_keys, *names]
        args = [session.next_number(), self._ahead(), len(new), *new, *words]
        session.run(script("publish"), keys, args, deadline_at=deadline_at)
        if self.options.publish_wait_replicas:
            self._await_replicas(session, deadline_at)

    def _store_unique(self, session: Session, messages: Sequence[Message], deadline_at: float) -> Sequence[Conflict]:
        """Store messages of which some have unique keys, and return those that are left out."""
        conflicts: list[Conflict] = []
        for first, batch in unique_batches(messages, BATCH_MAX, BATCH_MAX_BYTES):
            plan = UniquePlan(self.keys, self._envelopes, batch)
            new = self._untold(plan.queues)
            keys = [self.keys.sent(session.producer), self.keys.answered(session.producer), *plan.names]
            args: list[Word] = [session.next_number(), self._ahead(), plan.encoded(), len(new), *new]
            try:
                found = session.run(script("publish_unique"), keys, [*args, *plan.envelopes], deadline_at=deadline_at)
            except BrokerUnavailable as exc:
                exc.maybe_published |= first > 0
                raise
            conflicts += plan.conflicts(found, first)
        if self.options.publish_wait_replicas:
            self._await_replicas(session, deadline_at)
        return conflicts

    def _bind(
        self, session: Session, tables: Sequence[str | bytes], members: Sequence[Word], deadline_at: float
    ) -> None:
        """Bind queues before the first message is sent to them."""
        try:
            session.run(script("bind"), tables, members, deadline_at=deadline_at)
        except BrokerUnavailable as exc:
            exc.maybe_published = False  # the messages have not been sent
            raise

    def _untold(self, queues: Sequence[str]) -> list[str]:
        """Return the queues that Redis has not been told of for a while."""
        now = time.monotonic()
        told = self._told
        new = [queue for queue in queues if told.get(queue, 0.0) <= now]
        if new:
            if len(told) >= _QUEUES_TOLD:
                told.clear()
            told.update(dict.fromkeys(new, now + _TELL_EVERY))
        return new

    def _await_replicas(self, session: Session, deadline_at: float) -> None:
        wanted = self.options.publish_wait_replicas
        left_ms = max(1, int((deadline_at - time.monotonic()) * 500))  # Redis is some 100 ms late with that answer
        have = session.call("WAIT", wanted, left_ms, deadline_at=deadline_at)
        if have < wanted:
            raise BrokerUnavailable(
                f"{have} replicas of redis at {self.place.address} have the messages, and publish_wait_replicas asks "
                f"for {wanted}",
                maybe_published=True,
            )

    # -- queues -------------------------------------------------------------------------------------------------

    def depths(self, queues: Collection[str] | None = None) -> list[QueueDepth]:
        return self._depths.count(queues)

    def delayed(self, queues: Collection[str], *, limit: int = 100) -> list[Message]:
        return self._depths.delayed(queues, limit)

    def purge(self, queue: str) -> int:
        return self._depths.purge(queue)

    # -- dead letters -------------------------------------------------------------------------------------------

    def dead_letters(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        return self._letters.newest(queue, limit)

    def dead_letter(self, number: int) -> DeadLetter | None:
        return self._letters.whole(number)

    def replay(self, numbers: Collection[int]) -> list[str]:
        return self._letters.replay(numbers)

    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        self._letters.bury(letters, deadline_at=deadline_at)

    def discard(self, numbers: Collection[int]) -> int:
        return self._letters.discard(numbers)

    # -- revocations --------------------------------------------------------------------------------------------

    def revoke(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        return self._revoked.add(revocations, deadline_at=deadline_at)

    def revocations(self, since: int = 0, *, limit: int = FEED_MAX) -> Feed:
        return self._revoked.since(since, limit=limit)

    def revoked(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        return self._revoked.among(task_ids)

    def claimed(self, task_ids: Collection[str]) -> set[str]:
        return self._revoked.claimed(task_ids)

    def has_other_workers(self, exchange: str) -> bool:
        return self._revoked.has_workers_of_celery(exchange)

    # -- upkeep -------------------------------------------------------------------------------------------------

    def owners(self) -> list[Incarnation]:
        described: Any = self.link().call(
            "HGETALL", self.keys.owners, deadline_at=time.monotonic() + ASK_WITHIN, repeatable=True
        )
        return [one.incarnation for one in read_owners(described)]

    def clean(self) -> int:
        self._let_in_everywhere()
        ended = self._broadcasts.clean()
        return self._letters.clean() + self._revoked.clean() + self._restorer.restore() + ended

    def _let_in_everywhere(self) -> None:
        """Call those that wait for room in a concurrency limit, in case that nobody else does."""
        link, keys = self.link(), self.keys
        deadline_at = time.monotonic() + ASK_WITHIN
        rooms: Any = link.call("HGETALL", keys.rooms, deadline_at=deadline_at, repeatable=True)
        for key, limit in zip(rooms[::2], rooms[1::2], strict=True):
            names = [keys.delayed, keys.delayed_counts, keys.rooms, *keys.room(key.decode())]
            link.run(script("let_in"), names, [self._ahead(), key, limit], deadline_at=deadline_at)

    def leaving(self) -> RedisLeaving:
        return RedisLeaving(self.link, self.keys)


def _run(index: int, messages: Sequence[Message], uniques: Sequence[str], envelopes: Sequence[bytes]) -> list[Word]:
    """Write messages for one list and of one ETA as the publish script reads them."""
    due_at = messages[0].eta_at
    if due_at is None:
        return [index, len(messages), "", *envelopes]
    pairs: list[Word] = [word for pair in zip(uniques, envelopes, strict=True) for word in pair]
    return [index, len(messages), due_at, *pairs]
