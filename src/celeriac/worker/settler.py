"""Settle what has ended, a batch at a time.

While one transaction is under way the next batch gathers: group commit without timers. What could not be settled
yet counts as held, so a node whose store is down stops claiming, and it never acks what it could not store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker, Consumer, Release, ResultMeta, ResultSink, Settlement
from celeriac.exceptions import OperationalError
from celeriac.worker.backoff import Backoff
from celeriac.worker.held import Held, Holdings
from celeriac.worker.settle import after_refusal_by_store

logger: Final = logging.getLogger("celeriac.worker")

_PUBLISH_TIMEOUT: Final = 10.0


class Ending(msgspec.Struct, frozen=True, gc=False):
    """End a held message in one of two ways."""

    held: Held
    how: Settlement | Release


class Settler:
    """Commit endings in batches, in one background task.

    Args:
        consumer: where claims are settled.
        broker: where follow-ups go when broker and backend are two stores.
        backend: where records go, or None when results are disabled.
        holdings: what is held; a message leaves it when its ending is stored.
        on_settled: called after each batch.
        done_at: returns the time of now as records write it.
    """

    def __init__(
        self,
        consumer: Consumer,
        broker: Broker,
        backend: ResultBackend | None,
        holdings: Holdings,
        *,
        on_settled: Callable[[], None],
        done_at: Callable[[], str],
    ) -> None:
        self._consumer = consumer
        self._broker = broker
        self._backend = backend
        shared: object = backend
        self._sink = shared if isinstance(shared, ResultSink) and consumer.shares_store_with(shared) else None
        self._holdings = holdings
        self._on_settled = on_settled
        self._done_at = done_at
        self._pending: list[Ending] = []
        self._started: dict[int, ResultMeta] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff()

    @property
    def one_store(self) -> bool:
        """True when records are written in the transaction that settles."""
        return self._sink is not None or self._backend is None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="settler")

    async def stop(self, timeout: float) -> bool:
        """Settle what is pending, for at most so many seconds; say whether all of it was."""
        if self._task is None:
            return not self._pending
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            logger.error("%d messages could not be settled in time; they will run again", len(self._pending))
        self._task.cancel()
        self._task = None
        return self._idle.is_set()

    def add(self, ending: Ending) -> None:
        """Settle this with the next batch."""
        self._pending.append(ending)
        self._idle.clear()
        self._wake.set()

    def note_started(self, held: Held, record: ResultMeta) -> None:
        """Record with the next batch that a run has begun, unless it has ended by then."""
        self._started[held.number] = record
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            # One turn of the loop: the outcomes that other children have sent by now are read first.
            await asyncio.sleep(0)
            while self._pending or self._started:
                batch, self._pending = self._pending, []
                await self._settle_until_done(batch)
            self._idle.set()

    async def _settle_until_done(self, batch: list[Ending]) -> None:
        while True:
            try:
                await self._settle(batch)
            except OperationalError as exc:
                delay = self._backoff.next()
                logger.warning("cannot settle %d messages, trying again in %.1f s: %s", len(batch), delay, exc)
                await asyncio.sleep(delay)
                continue
            except Exception as exc:  # noqa: BLE001 - whatever the store says about one of them
                await self._divide(batch, exc)
            self._backoff.reset()
            self._on_settled()
            return

    async def _divide(self, batch: list[Ending], error: Exception) -> None:
        """Find the one ending that the store refuses, by halves, and settle it as a failure that says so."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._settle_until_done(batch[:middle])
            await self._settle_until_done(batch[middle:])
            return
        [ending] = batch
        logger.error("the store refused the end of %s[%s]", *_names(ending.held), exc_info=error)
        instead = Release(delivery=ending.held.delivery)
        if isinstance(ending.how, Settlement):
            failed = after_refusal_by_store(ending.how, error, self._done_at())
            if failed != ending.how:
                await self._settle_until_done([Ending(ending.held, failed)])
                return
        elif ending.how != instead:
            await self._settle_until_done([Ending(ending.held, instead)])
            return
        # Nothing can be stored about it: the claim ends with this node, and the message runs again.
        await asyncio.sleep(self._backoff.next())

    async def _store_started(self, batch: Sequence[Ending]) -> None:
        for ending in batch:
            self._started.pop(ending.held.number, None)
        started, self._started = self._started, {}
        if started and self._backend is not None:
            await asyncio.to_thread(self._backend.store, list(started.values()))

    async def _settle(self, batch: Sequence[Ending]) -> None:
        await self._store_started(batch)
        acked = [ending.how for ending in batch if ending.held.acked and isinstance(ending.how, Settlement)]
        owned = [ending for ending in batch if not ending.held.acked]
        settlements = [ending.how for ending in owned if isinstance(ending.how, Settlement)]
        releases = [ending.how for ending in owned if isinstance(ending.how, Release)]
        if acked:
            await self._publish_and_store(acked)
        if settlements and not self.one_store:
            # What follows goes out first, the terminal record next, the ack last.
            await self._publish_and_store(settlements)
            settlements = [msgspec.structs.replace(one, result=None, publish=()) for one in settlements]
        refused = await self._consumer.settle(settlements, self._sink)
        await self._consumer.release(releases)
        for ending in batch:
            self._consumer.note_ended(ending.held.delivery)
            self._holdings.remove(ending.held)
        for one in refused:
            logger.warning(
                "the outcome of message %s was refused: this node was declared dead meanwhile, and the message "
                "belongs to another node, which runs it again",
                one.delivery.message.task_id,
            )

    async def _publish_and_store(self, settlements: Sequence[Settlement]) -> None:
        messages = [message for one in settlements for message in one.publish]
        records = [one.result for one in settlements if one.result is not None]
        if messages:
            deadline_at = time.monotonic() + _PUBLISH_TIMEOUT
            await asyncio.to_thread(self._broker.publish, messages, deadline_at=deadline_at)
        if records and self._backend is not None:
            await asyncio.to_thread(self._backend.store, records, once=True)


def _names(held: Held) -> tuple[str, str]:
    return held.intake.task, held.intake.id
