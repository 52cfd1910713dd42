"""Keeping the messages of long runs, however long those take and however soon RabbitMQ loses patience.

Once a message has been unacknowledged for a third of the time that the server allows, a confirmed copy of it is
published into a queue of this node. The copy comes to this node as well; then it stands for the message, which is
acknowledged. A few seconds later the next copy takes its place, and so on, until the run has ended and its copy is
acknowledged with it.

At each instant the server has the message or a copy, so nothing is lost between any two steps; at worst there are two
of them, and the run is repeated. When the node goes, the copy lies in its queue for `HOLD_TTL`, and then goes back to
the queue of its task. A connection that is made again within that time finds it there, and nobody else has begun.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from celeriac.brokers.amqp.carried import Counts, Outgoing, carry_copy, read_copy
from celeriac.brokers.amqp.channel import WorkerChannel
from celeriac.brokers.amqp.claims import Claims
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.long_runs import LongRuns, batches
from celeriac.brokers.amqp.topology import hold_queue
from celeriac.exceptions import OperationalError
from celeriac.ids import new_id

logger: Final = logging.getLogger("celeriac.amqp")

_COMES_WITHIN: Final = 2.0
_LOOK_EVERY: Final = 0.02

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Hold:
    """Keep copies of what one node is at work on for long.

    Args:
        publish: publishes, and returns when all is confirmed.
        counts_of: returns what a copy is to say about a message once its node has gone.
        timeout: seconds after which the server takes back what is not acknowledged.
        queue_type: of the queues for copies: ``classic`` or ``quorum``.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        holdings: Holdings,
        claims: Claims,
        publish: Publish,
        counts_of: Callable[[Held], Counts],
        *,
        timeout: float,
        queue_type: str,
    ) -> None:
        self._channel = channel
        self._holdings = holdings
        self._claims = claims
        self._publish = publish
        self._counts_of = counts_of
        self._queue_type = queue_type
        self.runs = LongRuns(timeout)
        self._token = new_id()
        self._queues: dict[str, str] = {}
        self._listening: set[str] = set()
        self._renewal: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Become the keeper of nothing: what copies of before stand for is not held here any more."""
        self._token = new_id()
        self._queues.clear()
        self._listening.clear()
        self.runs.clear()

    def lose_channel(self) -> None:
        """Note that the connection is gone. Copies wait in their queues, each for a while."""
        self._listening.clear()
        self.runs.lose_channel()

    async def resume(self) -> None:
        """Listen to the queues again that have copies."""
        for queue in self._queues:
            await self._listen(queue)

    def look(self, *, waiting: frozenset[int]) -> None:
        """Have copies made of what needs them now. Called every 2 s; costs next to nothing while no run is long.

        Args:
            waiting: tags of what nobody has claimed yet.
        """
        if self._renewal is not None and not self._renewal.done():
            return
        now = time.monotonic()
        due = self.runs.due(self._holdings, now, waiting=waiting)
        if due or self.runs.overdue(now):
            self._renewal = asyncio.get_running_loop().create_task(self._renew(due), name="copies of long runs")

    def take(self, headers: Mapping[str, Any], place: Place) -> bool:
        """Let a copy of ours stand for its message from now on; say whether what has come is one.

        What it stood for until now is acknowledged, and so is the copy when its run has ended.
        """
        found = read_copy(headers)
        if found is None or found[0] != self._token:
            return False
        tag = found[1]
        self.runs.note_come(tag)
        if tag in self._holdings:
            before = self._holdings.move(tag, place)
            if before is not None:
                self._claims.drop(before)
        else:
            self._holdings.note_place(place)
            self._claims.drop(place)
        return True

    async def close(self) -> None:
        """Make no more copies; take away what is left of those whose runs have ended. May be called twice."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            await asyncio.wait([renewal], timeout=_COMES_WITHIN)
            renewal.cancel()
        if not self._channel.is_open or not self._queues:
            return
        until = time.monotonic() + _COMES_WITHIN
        names = list(self._queues.values())
        while (await self._channel.count_copies(names) or self.runs.awaited) and time.monotonic() < until:
            await asyncio.sleep(_LOOK_EVERY)
        await self._claims.swept()
        if not self.runs.awaited and not self.runs.any_left(self._holdings):
            await self._channel.end_copies(names)

    async def _renew(self, due: Sequence[Held]) -> None:
        try:
            if self.runs.overdue(time.monotonic()):
                logger.warning("copies of long runs do not come back from rabbitmq; connecting anew")
                await self._channel.close()
                return
            for batch in batches(due):
                await self._copy(batch)
        except OperationalError as error:
            logger.warning("the messages of %d long runs could not be copied; trying again: %s", len(due), error)
        except Exception:
            logger.exception("the messages of %d long runs could not be copied; trying again", len(due))

    async def _copy(self, batch: Sequence[Held]) -> None:
        for queue in {held.delivery.message.queue for held in batch}:
            if queue not in self._listening:
                await self._listen(queue)
        wanted = [held for held in batch if held.delivery.tag in self._holdings and held.place is not None]
        tags = [held.delivery.tag for held in wanted]
        self.runs.note_published(tags, time.monotonic())
        try:
            await self._publish([self._outgoing(held) for held in wanted])
        except BaseException:
            self._listening.clear()  # if the queue has been deleted, it is declared again
            self.runs.note_failed(tags)
            raise

    def _outgoing(self, held: Held) -> Outgoing:
        message = held.delivery.message
        carried = carry_copy(message, self._counts_of(held), token=self._token, tag=held.delivery.tag)
        return Outgoing(carried, "", self._queues[message.queue])

    async def _listen(self, queue: str) -> None:
        needed = hold_queue(self._token, queue, self._queue_type)
        await self._channel.receive_copies(needed, queue)
        self._queues[queue] = needed.name
        self._listening.add(queue)
