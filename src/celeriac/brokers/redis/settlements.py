"""Have Redis accept settlements, a batch in one script each (`settling.py` writes them)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext

from celeriac.brokers.base import Claim, Delivery, ResultSink, Settlement, Taker
from celeriac.brokers.redis.claims import Lists
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.envelopes import Envelopes
from celeriac.brokers.redis.joining import JoinRow
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.ownership import Ownership
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.routes import Routes
from celeriac.brokers.redis.settling import SETTLE_WITHIN, HandOver, Plan, ResultRow, planned
from celeriac.exceptions import BrokerUnavailable, CeleriacError, LeaseLost
from celeriac.message import Message


class Settlements:
    """Settle for one owner, and hand over what follows.

    Args:
        lists: those that the owner claims from.
    """

    def __init__(
        self, place: RedisPlace, own: Ownership, keys: Keys, lists: Lists, routes: Routes, envelopes: Envelopes
    ) -> None:
        self._place = place
        self._own = own
        self._keys = keys
        self._lists = lists
        self._routes = routes
        self._envelopes = envelopes
        self._maybe_ended: set[int] = set()
        self._taker: Taker | None = None

    def begin(self) -> None:
        """Be another owner, who has settled nothing."""
        self._maybe_ended.clear()

    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        """Do as `Consumer.settle`."""
        owner = self._own.owner
        mine = [one for one in settlements if one.delivery.owner == owner]
        said: list[tuple[int, Message]] = []
        if any(message.route is not None for one in mine for message in one.publish):
            mine, said = await self._routes.routed(mine)
        rows: list[ResultRow] = []
        joins: list[JoinRow] = []
        database = self._place.database
        if results is not None:
            results.write_within(rows, [record for one in mine for record in one.results])
            results.join_within(joins, [one.joins for one in mine if one.joins is not None])
            database = getattr(results, "place", self._place).database
        accepted: set[int] = set()
        handing = self._handing(mine)
        try:
            for batch, plan in planned(mine, iter(rows), iter(joins), self._keys, self._envelopes, handing):
                if self._own.owner != owner:
                    break  # others have the rest: the tags that it has name messages of the next owner
                accepted |= await self._settle(batch, plan, database)
        except BaseException:
            self._maybe_ended |= accepted  # whoever repeats all of it must not hear that others have the messages
            raise
        if said:
            await self._routes.say(message for tag, message in said if tag in accepted)
        if results is not None:
            results.announce()
        if len(accepted) == len(settlements):
            return []
        return [one for one in settlements if one.delivery.owner != owner or not _taken_out(accepted, one.delivery.tag)]

    def hand_over_to(self, taker: Taker) -> None:
        """Do as `Consumer.hand_over_to`."""
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
        other = database != self._place.database
        words: list[Word] = [self._place.database if other else "", database if other else ""]
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
