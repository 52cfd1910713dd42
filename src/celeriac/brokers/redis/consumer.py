"""The worker's side of the broker on Redis.

One script does each step, whatever the size of the batch. `ownership.py` sees to what becomes of calls whose answers
are lost, `wakes.py` to sleeping while there is nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Final

import msgspec

from celeriac.brokers.aging import Aging
from celeriac.brokers.base import (
    Booking,
    Claim,
    Consumer,
    Delivery,
    Incarnation,
    RateRequest,
    Release,
    ResultSink,
    Room,
    Settlement,
    Taker,
)
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import is_said, spread
from celeriac.brokers.leases import Watcher
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.bindings import read_members, tables_and_members
from celeriac.brokers.redis.bookings import request_words
from celeriac.brokers.redis.broadcasts import HEARD_FOR, Broadcasts, Heard, Hearing, entry_of, is_own
from celeriac.brokers.redis.channels import Channels
from celeriac.brokers.redis.claims import TAIL_BYTES, Lists, Taken, read_claim
from celeriac.brokers.redis.dead_letters import DeadLetters
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.joining import JoinRow
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.notes import TELL_WITHIN, Notes
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.owners import read_owners
from celeriac.brokers.redis.ownership import ASK_WITHIN, NOBODY, SHARE, Ownership
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.settling import HandOver, Plan, ResultRow, planned, release_plan, unseen_plan
from celeriac.brokers.redis.uniqueness import may_be_unique
from celeriac.brokers.redis.wakes import Wakes
from celeriac.brokers.topology import Binding
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable, CeleriacError, LeaseLost
from celeriac.ids import new_id
from celeriac.message import Message

logger: Final = logging.getLogger("celeriac.redis")

CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024 + 64 * 1024
"""What the envelopes of one claim weigh together; a single one may weigh more."""

SETTLE_WITHIN: Final = 10.0
"""Seconds for a settlement, which may be of 32 MiB."""

_LOOK_AGAIN: Final = 5.0
_FIRST_NAP: Final = 0.005
_LONGEST_NAP: Final = 0.2
_BACKOFF: Final = 1.5


class RedisConsumer(Consumer):
    """Claim and settle for one owner in one database of Redis."""

    notes_last = False

    def __init__(
        self,
        place: RedisPlace,
        options: RedisOptions,
        keys: Keys,
        incarnation: Incarnation,
        *,
        message_max_bytes: int,
        clock: Clock,
        ahead: Callable[[], float],
        declared: Declared,
        letters: DeadLetters,
        broadcasts: Broadcasts,
        aging: Aging,
    ) -> None:
        self.place = place
        self._options = options
        self._declared = declared
        self._letters = letters
        self._broadcasts = broadcasts
        self._channels = Channels(place, options)
        self._hearing: Hearing | None = None
        self._own_queues: tuple[str, ...] = ()
        self._keys = keys
        self._envelopes = Envelopes(options.body_encoding)
        self._max_bytes = message_max_bytes
        self._clock = clock
        self._link = AsyncLink(place, options, name=incarnation.node)
        self._wakes = Wakes(self._link, keys, name=incarnation.node)
        self._notes = Notes()
        self._own = Ownership(self._link, keys, incarnation, ahead=ahead, notes=self._notes)
        self._lists = Lists(keys, options.queue_order_strategy, aging)
        self._watcher = Watcher()
        self._watched_in = 0
        self._maybe_ended: set[int] = set()
        self._taker: Taker | None = None
        self._nothing_left: tuple[tuple[str, ...], Taken | None] = ((), None)
        self._found_nothing = False
        self._looked_at = 0.0
        self._told_queues: frozenset[str] = frozenset()
        self._heard_for: Sequence[str] | None = None
        self._complained_of: set[bytes] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._teller: asyncio.Task[None] | None = None

    @property
    def owner(self) -> int:  # type: ignore[override]  # read only here
        return self._own.owner

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._own.leave()
        await self._own.register()
        self._own_queues = ()
        self._watcher = Watcher()
        self._maybe_ended.clear()
        self._nothing_left = ((), None)
        self._told_queues = frozenset()
        self._heard_for = None

    async def close(self) -> None:
        owner, own = self._own.owner, self._own_queues
        try:
            await self._hear(())
            await self._own.leave()
            if own:
                await asyncio.to_thread(self._broadcasts.end_of, owner)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Let go of connections as the end of the process would: nothing is released or signed off."""
        if self._telling is not None:
            self._telling.cancel()
        if self._teller is not None:
            self._teller.cancel()
        self._telling = self._teller = None
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.stop()
        self._wakes.close()
        await self._link.close()

    # -- claiming -----------------------------------------------------------------------------------------------

    async def attend(self, queues: Sequence[str]) -> None:
        if self._declared.uncommon(queues):
            await self._hear(queues)
            await self._tell_queues(queues)

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        until = time.monotonic() + wait
        nap = 0.0
        if self._heard_for is not queues:
            await self._hear(queues)
            self._heard_for = queues
        emptied, taken = self._nothing_left
        if taken is not None and wait > 0 and emptied == tuple(queues):
            # The claim before emptied all lists, and began to watch them, or this one does: another look would hold
            # up the settlement of what was claimed.
            nap = await self._idle(taken, wait, nap)
        while True:
            self._lists.believe(self._wakes.begin_look())
            taken = await self._look(queues, limit, everywhere=nap > 0, watching=self._found_nothing and wait > 0)
            left = until - time.monotonic()
            if taken.deliveries or left <= 0:
                return Claim(taken.deliveries, taken.now, taken.revocations)
            if not taken.early and not taken.more_due:
                nap = await self._idle(taken, left, nap)

    async def _look(self, queues: Sequence[str], limit: int, *, everywhere: bool, watching: bool = False) -> Taken:
        """Claim what is there now; what was taken too early is given back, to be kept until its time.

        Args:
            everywhere: name all lists.
            watching: have them under watch afterwards, as whoever is likely to find nothing more should.
        """
        own, keys = self._own, self._keys
        named = self._lists.choose(queues, all_of_them=everywhere)
        watch = self._wakes.watching(named) if watching else nullcontext()
        with own.claiming(limit) as first, watch as aside:
            answer = await own.ask(
                "claim",
                [
                    own.held,
                    own.started,
                    keys.counts,
                    keys.delayed,
                    keys.delayed_counts,
                    keys.bookings,
                    keys.replaced,
                    keys.revoked_version,
                    *named,
                ],
                [first, limit, CLAIM_MAX_BYTES, self._max_bytes * 4 // 3 + TAIL_BYTES, TAIL_BYTES],
                noting=True,
                aside=aside,
            )
            taken = read_claim(answer, named, self._lists, first=first, owner=own.owner, max_bytes=self._max_bytes)
            if taken.any_replaced:
                taken.deliveries = await self._told_of_replaced(taken.deliveries)
            if taken.early:
                await self._give_back(unseen_plan([(one.tag, one.message.eta_at) for one in taken.early]))
        if not self._told_queues.issuperset(queues):
            await self._tell_queues(queues)
        self._found_nothing = taken.left_nothing
        is_all = taken.left_nothing and not taken.more_due and not self._lists.many
        self._nothing_left = (tuple(queues), taken if is_all else None)
        self._looked_at = time.monotonic()
        for name, text in taken.errors:
            if name not in self._complained_of:
                self._complained_of.add(name)
                logger.error("queue %s cannot be read: the key %r: %s", self._lists.queue_of(name), name, text)
        return taken

    async def _tell_queues(self, queues: Sequence[str]) -> None:
        if queues:
            await self._own.run("remember", [self._keys.queues, self._keys.owners], queues)
            tables, members = tables_and_members(self._keys, queues, self._declared)
            await self._own.run("bind", tables, members)
        self._told_queues |= frozenset(queues)

    async def _hear(self, queues: Sequence[str]) -> None:
        """Be there for what is said to everybody, in the queues of this node that are for that."""
        own = tuple(queue for queue in queues if is_own(self._declared.queue(queue)))
        if own == self._own_queues:
            return
        leads = {queue: self._declared.leads_to(queue) for queue in own}
        for queue in filter(self._declared.belongs_to_node, own):
            await self._link.call(
                "HSET", self._keys.broadcasts, queue, entry_of(self._own.owner, leads[queue]), timeout=ASK_WITHIN
            )
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.stop()
        if own:
            made = Hearing(self.place, self._options, self._keys, leads, self._keep_heard)
            await made.start(time.monotonic() + ASK_WITHIN)
            self._hearing = made
        self._own_queues = own

    async def _keep_heard(self, heard: Sequence[Heard]) -> None:
        names = [name for one in heard for name in (one.list_name, one.note)]
        await self._own.run("hear", names, [*(one.envelope for one in heard), HEARD_FOR])

    async def _idle(self, taken: Taken, left: float, nap: float) -> float:
        """Sleep until there may be something; return the length of this nap where Redis does not wake anybody."""
        is_told = await self._wakes.watch(self._lists.all())
        due_at = self._wakes.next_due_at if is_told else taken.next_due_at
        now = taken.now + time.monotonic() - self._looked_at
        until_due = float("inf") if due_at is None else max(0.0, due_at - now)
        if is_told:
            await self._wakes.sleep(min(left, until_due, _LOOK_AGAIN))
            return 0.0
        nap = min(_LONGEST_NAP, nap * _BACKOFF or _FIRST_NAP)
        await asyncio.sleep(min(left, until_due, nap))
        return nap

    # -- settling -----------------------------------------------------------------------------------------------

    def shares_store_with(self, results: object) -> bool:
        place = getattr(results, "place", None)
        return isinstance(results, ResultSink) and isinstance(place, RedisPlace) and place.server == self.place.server

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        owner = self._own.owner
        mine = [one for one in settlements if one.delivery.owner == owner]
        said: list[Message] = []
        if any(message.route is not None for one in mine for message in one.publish):
            mine, said = await self._routed(mine)
        rows: list[ResultRow] = []
        joins: list[JoinRow] = []
        database = self.place.database
        if results is not None:
            results.write_within(rows, [record for one in mine for record in one.results])
            results.join_within(joins, [one.joins for one in mine if one.joins is not None])
            database = getattr(results, "place", self.place).database
        accepted: set[int] = set()
        handing = self._handing(mine)
        try:
            for batch, plan in planned(mine, iter(rows), iter(joins), self._keys, self._envelopes, handing):
                accepted |= await self._settle(batch, plan, database)
        except BaseException:
            self._maybe_ended |= accepted  # whoever repeats all of it must not hear that others have the messages
            raise
        if said:
            await self._say(said)
        if results is not None:
            results.announce()
        if len(accepted) == len(settlements):
            return []
        return [one for one in settlements if one.delivery.owner != owner or not _taken_out(accepted, one.delivery.tag)]

    async def _routed(self, settlements: Sequence[Settlement]) -> tuple[list[Settlement], list[Message]]:
        """Return settlements that publish into queues, and what they say to everybody.

        What goes to an exchange that leads nowhere becomes a dead letter.
        """
        following = [message for one in settlements for message in one.publish]
        known: dict[str, list[Binding]] = {}
        for message in following:
            route = message.route
            if route is not None and route.exchange not in known:
                table = self._keys.bindings + route.exchange.encode()
                stored = await self._link.call("SMEMBERS", table, timeout=ASK_WITHIN)
                bindings = self._declared.behind(route.exchange)
                bindings += read_members(route.exchange, stored, self._keys.separator)
                known[route.exchange] = list(dict.fromkeys(bindings))
        lost: list[tuple[Message, str]] = []
        routed: list[Settlement] = []
        said: list[Message] = []
        for one in settlements:
            found = spread(one.publish, known.__getitem__, keep=is_said, lost=lost).messages
            said += [message for message in found if message.route is not None]
            queued = tuple(message for message in found if message.route is None)
            routed.append(msgspec.structs.replace(one, publish=queued))
        if lost:
            until = time.monotonic() + SETTLE_WITHIN
            await asyncio.to_thread(self._letters.bury, lost, deadline_at=until)
        return routed, said

    async def _say(self, messages: Iterable[Message]) -> None:
        """Say to everybody what follows runs that are settled; like all that is said it may be lost."""
        for message in messages:
            assert message.route is not None, "others go into queues"
            envelope = self._envelopes.write(message, new_id())
            for channel in self._channels.of(message.route.exchange, message.route.routing_key):
                await self._link.call("PUBLISH", channel, envelope, timeout=ASK_WITHIN)

    def hand_over_to(self, taker: Taker) -> None:
        self._taker = taker

    def _handing(self, settlements: Sequence[Settlement]) -> HandOver | None:
        """Say which of the messages that these publish they may claim, if there are any."""
        if self._taker is None or not any(one.publish for one in settlements):
            return None
        queues, most = self._taker.room()
        lists = self._lists.all_of(queues)
        if most <= 0 or not lists:
            return None
        first = self._own.set_aside(most)
        return HandOver(lists, queues, deque(range(first, first + most)), self._taker.accepts)

    async def _settle(self, batch: Sequence[Settlement], plan: Plan, database: int) -> set[int]:
        """Settle what fits in one script, and return the tags of what was accepted."""
        keys, own = self._keys, self._own
        other = database != self.place.database
        words: list[Word] = [self.place.database if other else "", database if other else ""]
        names: list[bytes | str] = [own.held, own.started, keys.counts, keys.delayed, keys.delayed_counts]
        then = [plan.encoded(), plan.encoded_hand_over(), *plan.strings]
        names += [keys.dead, keys.dead_last, keys.queues, keys.replaced, keys.unique_in_use, keys.bookings, *plan.names]
        tags = [one.delivery.tag for one in batch]
        handing = own.claiming(len(plan.handed), first=min(plan.handed)) if plan.handed else nullcontext()
        try:
            with handing:
                _, refused, failed, *handed = await own.ask(
                    "settle", names, words, noting=True, then=then, within=SETTLE_WITHIN
                )
        except (BrokerUnavailable, asyncio.CancelledError):
            self._maybe_ended.update(tags)  # it may have taken place nevertheless
            raise
        except LeaseLost:
            return set()
        if handed[0]:
            self._hand_over(plan, *handed)
        accepted = set(tags)
        if refused:
            # What is named twice in a batch was accepted once.
            missing = {tags[at - 1] for at in refused} - {
                tag for at, tag in enumerate(tags, 1) if at not in set(refused)
            }
            accepted -= missing - self._maybe_ended
        if failed:
            at_fault = {at - 1: text for at, text in zip(failed[::2], failed[1::2], strict=True)}
            self._maybe_ended |= accepted.difference(tags[at] for at in at_fault)
            raise _refused_by_store(batch, at_fault)
        if self._maybe_ended:
            self._maybe_ended -= accepted
        return accepted

    def _hand_over(self, plan: Plan, tags: Sequence[int], now: bytes, revocations: bytes) -> None:
        """Have the taker run what a settlement has claimed."""
        assert self._taker is not None, "nothing is claimed for nobody"
        owner = self._own.owner
        deliveries = [Delivery(tag=tag, owner=owner, message=plan.handed[tag]) for tag in tags]
        self._taker.take(Claim(deliveries, float(now), int(revocations)))

    # -- unique keys and rate limits ----------------------------------------------------------------------------

    async def free(self, runs: Sequence[tuple[str, str]]) -> None:
        names = [self._keys.replaced, *(self._keys.unique(key) for key, _ in runs)]
        await self._own.run("free", names, [task_id for _, task_id in runs])

    async def book(self, requests: Sequence[RateRequest]) -> tuple[list[Booking], float]:
        words = [word for request in requests for word in request_words(request)]
        _, now, *starts = await self._own.ask("book", [self._keys.flows], words)
        bookings = [Booking(float(at), bool(final)) for at, final in zip(starts[::2], starts[1::2], strict=True)]
        return bookings, float(now)

    async def enter(self, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
        own, keys = self._own, self._keys
        mine = [(delivery, room) for delivery, room in runs if delivery.owner == own.owner]
        rooms = list({room: None for _, room in mine})
        if not rooms:
            return [False for _ in runs]
        names = [own.held, own.started, keys.delayed, keys.delayed_counts, keys.aside_last, keys.rooms]
        names += [name for room in rooms for name in keys.room(room.key)]
        words: list[Word] = [len(rooms), *(room.key for room in rooms), *(room.limit for room in rooms)]
        words += [word for delivery, room in mine for word in (delivery.tag, rooms.index(room) + 1)]
        _, *entered = await own.ask("enter", names, noting=True, then=words)
        inside = {delivery.tag for (delivery, _), is_in in zip(mine, entered, strict=True) if is_in}
        return [delivery.owner == own.owner and delivery.tag in inside for delivery, _ in runs]

    async def _told_of_replaced(self, deliveries: list[Delivery]) -> list[Delivery]:
        """Add by which runs those were replaced that were; nearly always there is nothing to ask."""
        ids = [delivery.message.task_id for delivery in deliveries if may_be_unique(delivery.message)]
        if not ids:
            return deliveries
        found = await self._link.call("HMGET", self._keys.replaced, *ids, timeout=ASK_WITHIN)
        replaced = {
            task_id: noted.rpartition(b",")[0].decode(errors="surrogateescape")
            for task_id, noted in zip(ids, found, strict=True)
            if noted is not None
        }
        return [
            msgspec.structs.replace(delivery, replaced_by=replaced.get(delivery.message.task_id))
            for delivery in deliveries
        ]

    # -- giving back --------------------------------------------------------------------------------------------

    async def release(self, releases: Sequence[Release]) -> None:
        mine = [one for one in releases if one.delivery.owner == self._own.owner]
        # The oldest last, over all shares.
        mine.sort(key=lambda one: -one.delivery.tag)
        for at in range(0, len(mine), SHARE):
            await self._give_back(release_plan(mine[at : at + SHARE]))

    async def _give_back(self, plan: bytes) -> int:
        own, keys = self._own, self._keys
        names = [own.held, own.started, keys.counts, keys.delayed, keys.delayed_counts, keys.bookings]
        _, moved = await own.ask("release", names, noting=True, then=[plan])
        return int(moved)

    async def reconcile(self, held: Collection[int]) -> int:
        own = self._own
        under_way = own.asked_for()
        try:
            _, tags = await own.ask("holdings", [own.held])
        except LeaseLost:
            return 0
        astray = sorted((tag for tag in map(int, tags) if tag not in held and not under_way(tag)), reverse=True)
        moved = 0
        for at in range(0, len(astray), SHARE):
            plan = msgspec.msgpack.encode([(tag, 0, 1, 0, 0, 0) for tag in astray[at : at + SHARE]])
            moved += await self._give_back(plan)
        return moved

    # -- notes --------------------------------------------------------------------------------------------------

    def holds(self, delivery: Delivery) -> bool:
        return delivery.owner == self._own.owner != NOBODY

    def note_started(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.begin(delivery.tag, urgent=delivery.redelivered)
            if self._telling is None or delivery.redelivered:
                self._tell_soon(0.0 if delivery.redelivered else TELL_WITHIN)

    async def foretell(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.begin(delivery.tag, urgent=True)
            await self._tell_now()

    def note_ended(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.end(delivery.tag)

    def _tell_soon(self, after: float) -> None:
        loop = self._loop
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            if self._telling is not None:
                self._telling.cancel()
            self._telling = loop.call_later(after, self._tell)
        else:
            with suppress(RuntimeError):  # what a closed loop raises
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._telling = None
        if self._notes.are_due and (self._teller is None or self._teller.done()):
            self._teller = asyncio.ensure_future(self._tell_now())
        if self._notes:
            self._tell_soon(TELL_WITHIN)

    async def _tell_now(self) -> None:
        own = self._own
        with suppress(CeleriacError):  # the next call tells
            await own.ask("note", [own.held, own.started], noting=True)

    # -- leases -------------------------------------------------------------------------------------------------

    async def extend(self) -> None:
        own, keys = self._own, self._keys
        names = [keys.beats, own.held, own.started, keys.alive, keys.delayed, keys.delayed_counts]
        await own.ask("extend", names, noting=True)

    async def peers(self) -> list[Incarnation]:
        described = await self._link.call("HGETALL", self._keys.owners, timeout=ASK_WITHIN)
        return [one.incarnation for one in read_owners(described) if one.owner != self._own.owner]

    async def recover(self) -> int:
        beats, dying = await self._watched()
        recovered = 0
        for owner, beat in beats.items():
            keys = self._keys
            names = [keys.owners, keys.epochs, keys.beats, keys.dying]
            if await self._own.run("condemn", names, [owner, beat]):
                dying.append(owner)
        for owner in dying:
            recovered += await self._recover_from(owner)
        return recovered

    async def _watched(self) -> tuple[dict[int, int], list[int]]:
        """Return the owners that stand still, with their counters, and those declared dead before."""
        if self._link.epoch != self._watched_in:
            self._watched_in, self._watcher = self._link.epoch, Watcher()
        asked_at = self._clock.monotonic()
        try:
            counters, dying = await self._own.run("look", [self._keys.beats, self._keys.dying], [])
        except BrokerUnavailable:
            self._watcher = Watcher()  # who gets no answer cannot say that others stood still
            raise
        beats = {
            int(owner): int(beat)
            for owner, beat in zip(counters[::2], counters[1::2], strict=True)
            if owner.isdigit() and beat.isdigit() and int(owner) != self._own.owner
        }
        still = self._watcher.stood_still(beats, asked_at=asked_at, answered_at=self._clock.monotonic())
        return {owner: beats[owner] for owner in still}, [int(owner) for owner in dying if owner.isdigit()]

    async def _recover_from(self, owner: int) -> int:
        keys, ahead = self._keys, self._own.lead()
        names = [keys.dying, keys.held(owner), keys.started(owner), keys.counts, keys.delayed, keys.delayed_counts]
        moved = 0
        while True:
            share, left = await self._own.run("recover", names, [owner, ahead, SHARE])
            moved += int(share)
            if not left:
                return moved


def _taken_out(tags: set[int], tag: int) -> bool:
    """Take a tag out of a set and say whether it was in it: what is settled twice was accepted once."""
    if tag not in tags:
        return False
    tags.remove(tag)
    return True


class OutcomeRefused(CeleriacError):
    """Say that Redis did not store an outcome, for a reason that lies in the outcome."""


def _refused_by_store(batch: Sequence[Settlement], at_fault: dict[int, bytes]) -> OutcomeRefused:
    names = ", ".join(batch[at].delivery.message.task_id for at in list(at_fault)[:5])
    text = next(iter(at_fault.values())).decode(errors="replace")
    return OutcomeRefused(f"redis refused the outcome of {len(at_fault)} of {len(batch)} messages ({names}): {text}")
