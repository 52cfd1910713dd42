"""How claims end on the wire: acknowledged, or given back.

One command acknowledges a whole range of tags. So commands are made one at a time, and a tag stays known as
unacknowledged until its own has been written: a range must not take along what somebody is about to give back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from celeriac.brokers.amqp.channel import WorkerChannel
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.exceptions import BrokerUnavailable

logger: Final = logging.getLogger("celeriac.amqp")

_GIVEN_BACK_MAX: Final = 10_000


class Claims:
    """End what is held by one node."""

    def __init__(self, channel: WorkerChannel, holdings: Holdings) -> None:
        self._channel = channel
        self._holdings = holdings
        self._writing = asyncio.Lock()
        self._spent: list[Place] = []
        self._sweeping: asyncio.Task[None] | None = None
        self._given_back: OrderedDict[str, bool] = OrderedDict()

    @property
    def given_back(self) -> int:
        """Number of runs that were given back, and come again to whoever is there; not those of long ago."""
        return len(self._given_back)

    def note_given_back(self, run: str, *, claimed: bool) -> None:
        """Know that a run comes again because it was given back, and not because somebody died under it.

        Args:
            claimed: a worker has had it, who may have run it, now or before.
        """
        self._given_back[run] = claimed
        if len(self._given_back) > _GIVEN_BACK_MAX:
            self._given_back.popitem(last=False)

    def take_given_back(self, run: str) -> bool | None:
        """Say whether a worker has had a run that has come again, which it does once; None: it was not given back."""
        return self._given_back.pop(run, None)

    def forget_given_back(self) -> None:
        """Know of nothing that was given back."""
        self._given_back.clear()

    async def end(self, tags: Iterable[int], *, goes_on: bool = False) -> None:
        """Acknowledge what is held under these tags; what has lost its channel is when it comes again.

        Args:
            goes_on: the same runs were published anew. What a copy stood for is told from those by the copy alone.
        """
        if not self._channel.is_open:
            self._holdings.lose_channel()
        ended = [held for tag in tags if (held := self._holdings.remove(tag)) is not None]
        self._note_ended([held for held in ended if held.place is None], goes_on)
        placed = [held for held in ended if held.place is not None]
        acked = await self._ack([held.place for held in placed if held.place is not None])
        if acked < len(placed):
            self._note_ended(placed, goes_on)
        lost = len(ended) - acked
        if lost:
            logger.info(
                "%d messages could not be acknowledged, because the connection was lost; they are when they come again",
                lost,
            )

    def _note_ended(self, ended: Iterable[Held], goes_on: bool) -> None:
        for held in ended:
            if not (goes_on and held.acked_on):
                self._holdings.note_ended(held.run)

    async def give_back(self, tags: Iterable[int], *, claimed: bool) -> None:
        """Give messages back to where they were in their queues; what has lost its channel is there already.

        Args:
            claimed: the worker had them.
            tags: of what no copy stands for: a copy of ours that came again would be taken for the end of its run.
        """
        if not self._channel.is_open:
            self._holdings.lose_channel()
        back = [held for tag in tags if (held := self._holdings.remove(tag)) is not None]
        for held in back:
            self.note_given_back(held.run, claimed=claimed or held.delivery.redelivered)
        if not back:
            return
        async with self._writing:
            places = self._present(held.place for held in back if held.place is not None)
            await self._channel.give_back([place.tag for place in places])
            for place in places:
                self._holdings.leave(place)

    def drop(self, place: Place) -> None:
        """Acknowledge in a moment what something else stands for, or what has ended."""
        self._spent.append(place)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def swept(self) -> None:
        """Return when all is acknowledged that was dropped."""
        if self._sweeping is not None:
            await self._sweeping

    async def _sweep(self) -> None:
        while self._spent:  # what cannot be acknowledged now comes again, and is dropped then
            spent, self._spent = self._spent, []
            await self._ack(spent)

    async def _ack(self, places: Sequence[Place]) -> int:
        """Acknowledge what is there; return how many: all, or none when the connection was lost."""
        async with self._writing:
            present = self._present(places)
            for place in present:
                self._holdings.leave(place)
            try:
                await self._channel.ack(
                    [place.tag for place in present if not place.is_copy], oldest=self._holdings.oldest()
                )
                await self._channel.ack_copies([place.tag for place in present if place.is_copy])
            except BrokerUnavailable:
                return 0
            return len(present)

    def _present(self, places: Iterable[Place]) -> list[Place]:
        """Leave out places of connections that are gone: others have the same tags now."""
        serial = self._channel.serial if self._channel.is_open else 0
        return [place for place in places if place.serial == serial]
