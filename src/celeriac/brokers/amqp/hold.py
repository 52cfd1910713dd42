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
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from celeriac.brokers.amqp.carried import Counts, Outgoing, carry_copy, read_copy
from celeriac.brokers.amqp.channel import ChannelRefused, WorkerChannel
from celeriac.brokers.amqp.claims import Claims
from celeriac.brokers.amqp.held import Held, Holdings, Place
from celeriac.brokers.amqp.long_runs import LongRuns, batches
from celeriac.brokers.amqp.topology import Declared, hold_queue
from celeriac.exceptions import BrokerUnavailable, EncodeError, ImproperlyConfigured, OperationalError, Unroutable
from celeriac.ids import new_id

logger: Final = logging.getLogger("celeriac.amqp")

_COMES_WITHIN: Final = 2.0
_LOOK_EVERY: Final = 0.02
_ENDS_WITHIN: Final = 2.5

_ASK_AGAIN_AFTER: Final = 30.0
"""Seconds for which a server is not asked again for a queue that it has refused."""

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
Declare = Callable[[Sequence[Declared]], Awaitable[None]]


class _QueueRefused(Exception):
    """Say that the server does not let this node have a queue of copies, and why."""


class Hold:
    """Keep copies of what one node is at work on for long.

    Args:
        publish: publishes, and returns when all is confirmed.
        declare: declares, on a connection where a refusal does no harm.
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
        declare: Declare,
        counts_of: Callable[[Held], Counts],
        *,
        timeout: float,
        queue_type: str,
    ) -> None:
        self._channel = channel
        self._holdings = holdings
        self._claims = claims
        self._publish = publish
        self._declare = declare
        self._counts_of = counts_of
        self._queue_type = queue_type
        self.runs = LongRuns(timeout)
        self._token = new_id()
        self._queues: dict[str, str] = {}
        self._listening: set[str] = set()
        self._asking = asyncio.Lock()
        self._refused: dict[str, float] = {}  # queues of tasks, and the monotonic instants until which they are left
        self._unconfirmed: set[int] = set()
        self._before: dict[int, list[Place]] = {}  # what copies stand for that are here and not confirmed
        self._renewal: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Become the keeper of nothing: what copies of before stand for is not held here any more."""
        self._token = new_id()
        self._queues.clear()
        self._listening.clear()
        self._refused.clear()
        self._unconfirmed.clear()
        self._before.clear()
        self.runs.clear()

    def lose_channel(self) -> None:
        """Note that the connection is gone. Copies wait in their queues, each for a while."""
        self._listening.clear()
        self._before.clear()
        self.runs.lose_channel()

    async def resume(self) -> None:
        """Listen to the queues again that have copies, and take those that are there.

        Raises:
            BrokerUnavailable: the connection was lost.
        """
        for queue in list(self._queues):
            try:
                await self._listen(queue)
            except _QueueRefused as refused:
                logger.warning("copies of long runs from queue %s cannot be taken back: %s", queue, refused)
                self._queues.pop(queue, None)
                if not self._channel.is_open:
                    raise BrokerUnavailable(str(refused)) from refused
        await self._channel.count_copies([self._queues[queue] for queue in self._listening])

    def look(self, *, waiting: frozenset[int]) -> None:
        """Have copies made of what needs them now. Called every 2 s; costs next to nothing while no run is long.

        Args:
            waiting: tags of what nobody has claimed yet.
        """
        if self._renewal is not None and not self._renewal.done():
            return
        self._end_what_ended()
        now = time.monotonic()
        due = [
            held
            for held in self.runs.due(self._holdings, now, waiting=waiting)
            if self._refused.get(held.delivery.message.queue, 0.0) <= now
        ]
        if due or self.runs.overdue(now):
            self._renewal = asyncio.get_running_loop().create_task(self._renew(due), name="copies of long runs")

    def take(self, headers: Mapping[str, Any], place: Place) -> bool:
        """Let a copy of ours stand for its message from now on; say whether what has come is one.

        What it stood for until now is acknowledged, once the copy is confirmed: it may come sooner than that is safe.
        The copy is, too, when its run has ended.
        """
        found = read_copy(headers)
        if found is None or found[0] != self._token:
            return False
        tag = found[1]
        self.runs.note_come(tag)
        if tag in self._holdings:
            before = self._holdings.move(tag, place)
            if before is not None:
                self._before.setdefault(tag, []).append(before)
            if tag not in self._unconfirmed:
                self._drop_before([tag])
        else:
            self._holdings.note_place(place)
            self._claims.drop(place)
        return True

    def _end_what_ended(self) -> None:
        ended = [tag for tag in (*self._before, *self._unconfirmed) if tag not in self._holdings]
        self._unconfirmed.difference_update(ended)
        self._drop_before(ended)

    def _drop_before(self, tags: Iterable[int]) -> None:
        for tag in tags:
            for place in self._before.pop(tag, ()):
                self._claims.drop(place)

    async def close(self) -> None:
        """Make no more copies; take away what is left of those whose runs have ended. May be called twice."""
        renewal, self._renewal = self._renewal, None
        with contextlib.suppress(OperationalError, TimeoutError):  # what is left goes by itself
            async with asyncio.timeout(_ENDS_WITHIN):
                if renewal is not None:
                    await asyncio.wait([renewal], timeout=_COMES_WITHIN)
                    renewal.cancel()
                await self._take_away()

    async def _take_away(self) -> None:
        if not self._channel.is_open or not self._queues:
            return
        self._end_what_ended()
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
        for queue in dict.fromkeys(held.delivery.message.queue for held in batch):
            try:
                await self._listen(queue)
            except _QueueRefused as refused:
                logger.warning(
                    "the messages of long runs from queue %s cannot be copied, and run again when rabbitmq takes them "
                    "back; let this user configure, write and read celeriac.hold.*: %s",
                    queue,
                    refused,
                )
        await self._publish_copies([held for held in batch if held.delivery.message.queue in self._listening])

    async def _publish_copies(self, batch: Sequence[Held]) -> None:
        wanted = [held for held in batch if held.delivery.tag in self._holdings and held.place is not None]
        tags = [held.delivery.tag for held in wanted]
        self._unconfirmed.update(tags)
        self.runs.note_published(tags, time.monotonic())
        try:
            await self._publish([self._outgoing(held) for held in wanted])
        except EncodeError as error:
            self.runs.note_failed(tags)
            if len(wanted) > 1:
                for held in wanted:
                    await self._publish_copies([held])
            else:
                self._unconfirmed.difference_update(tags)
                self.runs.note_impossible(tags[0])
                logger.warning("message %s cannot be copied: %s", wanted[0].delivery.message.task_id, error)
        except BaseException as error:
            if isinstance(error, Unroutable):
                self._listening.clear()  # somebody has deleted a queue; it is declared again
            self.runs.note_failed(tags)
            raise
        else:
            self._unconfirmed.difference_update(tags)
            self._drop_before(tags)

    def _outgoing(self, held: Held) -> Outgoing:
        message = held.delivery.message
        carried = carry_copy(message, self._counts_of(held), token=self._token, tag=held.delivery.tag)
        return Outgoing(carried, "", self._queues[message.queue])

    async def _listen(self, queue: str) -> None:
        async with self._asking:  # who connects and who copies come here at once
            if queue in self._listening:
                return
            serial = self._channel.serial
            needed = hold_queue(self._token, queue, self._queue_type)
            try:
                await self._declare([needed])
                await self._channel.receive_copies(needed)
            except (OperationalError, ImproperlyConfigured) as error:
                if isinstance(error, BrokerUnavailable) and not isinstance(error, ChannelRefused):
                    raise
                self._refused[queue] = time.monotonic() + _ASK_AGAIN_AFTER
                raise _QueueRefused(str(error)) from error
            if serial != self._channel.serial:
                raise BrokerUnavailable("the connection was lost while queues of copies were declared")
            self._queues[queue] = needed.name
            self._listening.add(queue)
