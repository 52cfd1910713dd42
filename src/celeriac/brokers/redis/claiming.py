"""Claim what is in the lists of queues, and sleep while there is nothing.

`claims.py` says which lists a claim names and what its answer means, `wakes.py` how to sleep.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

import msgspec

from celeriac.brokers.base import Claim, Delivery
from celeriac.brokers.declared import Declared
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.bindings import tables_and_members
from celeriac.brokers.redis.claims import TAIL_BYTES, Lists, Taken, read_claim
from celeriac.brokers.redis.giving_back import give_back
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.own_queues import OwnQueues
from celeriac.brokers.redis.ownership import ASK_WITHIN, Ownership
from celeriac.brokers.redis.settling import unseen_plan
from celeriac.brokers.redis.uniqueness import may_be_unique
from celeriac.brokers.redis.wakes import Wakes

logger: Final = logging.getLogger("celeriac.redis")

CLAIM_MAX_BYTES: Final = 16 * 1024 * 1024 + 64 * 1024
"""What the envelopes of one claim weigh together; a single one may weigh more."""

_LOOK_AGAIN: Final = 5.0
_FIRST_NAP: Final = 0.005
_LONGEST_NAP: Final = 0.2
_BACKOFF: Final = 1.5


class Claiming:
    """Claim for one owner.

    Args:
        max_bytes: larger messages are handed over without their parts.
    """

    def __init__(
        self,
        link: AsyncLink,
        own: Ownership,
        keys: Keys,
        lists: Lists,
        wakes: Wakes,
        own_queues: OwnQueues,
        declared: Declared,
        *,
        max_bytes: int,
    ) -> None:
        self._link = link
        self._own = own
        self._keys = keys
        self._lists = lists
        self._wakes = wakes
        self._own_queues = own_queues
        self._declared = declared
        self._max_bytes = max_bytes
        self._nothing_left: tuple[tuple[str, ...], Taken | None] = ((), None)
        self._found_nothing = False
        self._looked_at = 0.0
        self._told_queues: frozenset[str] = frozenset()
        self._heard_for: Sequence[str] | None = None
        self._complained_of: set[bytes] = set()

    def begin(self) -> None:
        """Be another owner, who knows nothing of what is there."""
        self._nothing_left = ((), None)
        self._told_queues = frozenset()
        self._heard_for = None

    async def attend(self, queues: Sequence[str]) -> None:
        """Do as `Consumer.attend`."""
        if self._declared.uncommon(queues):
            await self._own_queues.hear(queues)
            await self._tell_queues(queues)

    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        """Do as `Consumer.claim`."""
        until = time.monotonic() + wait
        nap = 0.0
        if self._heard_for is not queues:
            await self._own_queues.hear(queues)
            self._heard_for = queues
        emptied, taken = self._nothing_left
        if taken is not None and wait > 0 and emptied == tuple(queues):
            # The claim before emptied all lists, and began to watch them, or this one does: another look would hold
            # up the settlement of what was claimed.
            nap = await self._idle(taken, wait, nap)
        while True:
            self._lists.believe(self._wakes.begin_look())
            taken = await self.look(queues, limit, everywhere=nap > 0, watching=self._found_nothing and wait > 0)
            left = until - time.monotonic()
            if taken.deliveries or left <= 0:
                return Claim(taken.deliveries, taken.now, taken.revocations)
            if not taken.early and not taken.more_due:
                nap = await self._idle(taken, left, nap)

    async def look(self, queues: Sequence[str], limit: int, *, everywhere: bool, watching: bool = False) -> Taken:
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
            owner = own.owner
            taken = read_claim(answer, named, self._lists, first=first, owner=owner, max_bytes=self._max_bytes)
            if taken.any_replaced:
                taken.deliveries = await self._told_of_replaced(taken.deliveries)
            if taken.early:
                plan = unseen_plan([(one.tag, one.message.eta_at) for one in taken.early])
                await give_back(own, keys, plan, owner=owner)
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
