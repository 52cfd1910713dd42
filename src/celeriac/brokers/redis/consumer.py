"""The worker's side of the broker on Redis, one owner in one database: the parts that it consists of.

One script does each step, whatever the size of the batch. `claiming.py` and `settlements.py` are the way of messages,
`giving_back.py` their way back, `telling.py` says which of them run, `peers.py` looks after those of dead nodes, and
`own_queues.py` is there for what is said to everybody. All of them ask in the owner's name (`ownership.py`), which sees
to what becomes of calls whose answers are lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

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
from celeriac.brokers.redis import giving_back
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.bookings import request_words
from celeriac.brokers.redis.broadcasts import Broadcasts
from celeriac.brokers.redis.claiming import Claiming
from celeriac.brokers.redis.claims import Lists
from celeriac.brokers.redis.dead_letters import DeadLetters
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.notes import TELL_WITHIN, Notes
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.own_queues import OwnQueues
from celeriac.brokers.redis.ownership import NOBODY, Ownership
from celeriac.brokers.redis.peers import Peers
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.routes import Routes
from celeriac.brokers.redis.settlements import Settlements
from celeriac.brokers.redis.telling import Telling
from celeriac.brokers.redis.wakes import Wakes
from celeriac.clock import Clock


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
        self._keys = keys
        self._broadcasts = broadcasts
        self._link = AsyncLink(place, options, name=incarnation.node)
        self._wakes = Wakes(self._link, keys, name=incarnation.node)
        self._notes = Notes()
        self._own = Ownership(self._link, keys, incarnation, ahead=ahead, notes=self._notes)
        self._telling = Telling(self._own, self._notes)
        self._peers = Peers(self._link, self._own, keys, clock)
        self._own_queues = OwnQueues(self._link, self._own, keys, declared)
        lists = Lists(keys, options.queue_order_strategy, aging)
        self._claiming = Claiming(
            self._link,
            self._own,
            keys,
            lists,
            self._wakes,
            self._own_queues,
            declared,
            max_bytes=message_max_bytes,
        )
        envelopes = Envelopes(options.body_encoding)
        routes = Routes(self._link, keys, declared, letters, envelopes)
        self._settlements = Settlements(place, self._own, keys, lists, routes, envelopes)

    @property
    def owner(self) -> int:  # type: ignore[override]  # read only here
        return self._own.owner

    # -- life ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        self._telling.begin()
        await self._own.leave()
        await self._own.register()
        self._own_queues.begin()
        self._peers.watch_anew()
        self._settlements.begin()
        self._claiming.begin()

    async def close(self) -> None:
        owner, own = self._own.owner, self._own_queues.names
        try:
            await self._own_queues.hear(())
            await self._own.leave()
            if own:
                await asyncio.to_thread(self._broadcasts.end_of, owner)
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Let go of connections as the end of the process would: nothing is released or signed off."""
        self._telling.stop()
        await self._own_queues.stop()
        self._wakes.close()
        await self._link.close()

    # -- claiming -----------------------------------------------------------------------------------------------

    async def attend(self, queues: Sequence[str]) -> None:
        await self._claiming.attend(queues)

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        return await self._claiming.claim(queues, limit=limit, wait=wait)

    # -- settling -----------------------------------------------------------------------------------------------

    def shares_store_with(self, results: object) -> bool:
        place = getattr(results, "place", None)
        return isinstance(results, ResultSink) and isinstance(place, RedisPlace) and place.server == self.place.server

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        return await self._settlements.settle(settlements, results)

    def hand_over_to(self, taker: Taker) -> None:
        self._settlements.hand_over_to(taker)

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

    # -- giving back --------------------------------------------------------------------------------------------

    async def release(self, releases: Sequence[Release]) -> None:
        await giving_back.release(self._own, self._keys, releases)

    async def reconcile(self, held: Collection[int]) -> int:
        return await giving_back.reconcile(self._own, self._keys, held)

    # -- notes --------------------------------------------------------------------------------------------------

    def holds(self, delivery: Delivery) -> bool:
        return delivery.owner == self._own.owner != NOBODY

    def note_started(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.begin(delivery.tag, urgent=delivery.redelivered)
            if self._telling.timer is None or delivery.redelivered:
                self._telling.soon(0.0 if delivery.redelivered else TELL_WITHIN)

    async def foretell(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.begin(delivery.tag, urgent=True)
            await self._telling.now()

    def note_ended(self, delivery: Delivery) -> None:
        if delivery.owner == self._own.owner:
            self._notes.end(delivery.tag)

    # -- leases -------------------------------------------------------------------------------------------------

    async def extend(self) -> None:
        own, keys = self._own, self._keys
        names = [keys.beats, own.held, own.started, keys.alive, keys.delayed, keys.delayed_counts]
        await own.ask("extend", names, noting=True)

    async def peers(self) -> list[Incarnation]:
        return await self._peers.described()

    async def recover(self) -> int:
        return await self._peers.recover()
