"""Settle what has ended, a batch at a time.

While one transaction is under way the next batch gathers: group commit without timers. What could not be settled
yet counts as held, so a node whose store is down stops claiming, and it never acks what it could not store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker, Consumer, Release, ResultMeta, ResultSink, Settlement
from celeriac.brokers.joins import JoinEffects
from celeriac.exceptions import OperationalError
from celeriac.message import Message
from celeriac.states import SUCCESS
from celeriac.wire.forms import JSON_FORM, RecordForm
from celeriac.worker.backoff import Backoff
from celeriac.worker.chain_ends import ending_chain
from celeriac.worker.counting import Counting
from celeriac.worker.gathering import WORTH_SETTLING
from celeriac.worker.held import Held, Holdings
from celeriac.worker.saying import saying_failed
from celeriac.worker.settle import addressed, after_refusal_by_store, freeing

logger: Final = logging.getLogger("celeriac.worker")

_PUBLISH_TIMEOUT: Final = 10.0
_GATHER_TURNS: Final = 16


class Ending(msgspec.Struct, frozen=True, gc=False):
    """End a held message in one of two ways.

    Attributes:
        is_last_try: it stands for another ending, which the store refused.
    """

    held: Held
    how: Settlement | Release
    is_last_try: bool = False


Step = Callable[[Sequence[Ending]], Awaitable[None]]
"""Do one thing for a batch of endings, for all of them or none."""


class Settler:
    """Commit endings in batches, in one background task.

    Args:
        consumer: where claims are settled.
        broker: where messages are claimed; follow-ups go there when broker and backend are two stores.
        publisher: where follow-ups go instead (`broker_write_url`); None: nowhere else.
        backend: where records go, or None when results are disabled.
        holdings: what is held; a message leaves it when its ending is stored.
        on_settled: called after each batch.
        on_ended: called when the end of a message is stored of which events are sent, with what was published because
            of it.
        done_at: returns the time of now as records write it.
        form: how records are written.
        gather_for: returns for how many seconds endings may wait for others (`gathering.py`).
        counting: counts the members of chords that the store would not take as they ended.
    """

    def __init__(
        self,
        consumer: Consumer,
        broker: Broker,
        backend: ResultBackend | None,
        holdings: Holdings,
        *,
        on_settled: Callable[[], None],
        on_ended: Callable[[Held, Sequence[Message]], object] | None = None,
        done_at: Callable[[], str],
        form: RecordForm = JSON_FORM,
        counting: Counting | None = None,
        gather_for: Callable[[], float] = lambda: 0.0,
        publisher: Broker | None = None,
    ) -> None:
        self._publisher = broker if publisher is None else publisher
        self._counting = counting
        self._gather_for = gather_for
        self._consumer = consumer
        self._broker = broker
        self._backend = backend
        shared: object = backend
        self._sink = shared if isinstance(shared, ResultSink) and consumer.shares_store_with(shared) else None
        self._holdings = holdings
        self._on_settled = on_settled
        self._on_ended = on_ended
        self._done_at = done_at
        self._form = form
        self._pending: list[Ending] = []
        self._started: dict[int, ResultMeta] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        # What follows goes out first, then the message of a chord that is complete; the terminal record next, which
        # proves that all this has happened. That a chord is done is noted when nothing of it could be lost any more.
        self._apart = (self._start, self._publish, self._count, self._store, self._finish)

    @property
    def one_store(self) -> bool:
        """True when records are written in the transaction that settles, and what follows is published in it."""
        return (self._sink is not None or self._backend is None) and self._publisher is self._broker

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
        self._pending.append(self._completed(_freeing(ending)))
        self._idle.clear()
        self._wake.set()

    def _completed(self, ending: Ending) -> Ending:
        how = ending.how
        if not isinstance(how, Settlement) or how.result is None or how.result.state == SUCCESS:
            return ending
        return Ending(ending.held, ending_chain(how, form=self._form), ending.is_last_try)

    def note_started(self, held: Held, record: ResultMeta) -> None:
        """Record with the next batch that a run has begun, unless it has ended by then."""
        if self._backend is not None and self._backend.sends_answers:
            [record] = addressed((record,), held.delivery.message)
        self._started[held.number] = record
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._gather()
            while self._pending or self._started:
                batch, self._pending = self._pending, []
                await self._store_started(batch)
                await self._end(batch)
                self._on_settled()
            self._idle.set()

    async def _gather(self) -> None:
        """Have the outcomes read first that children have sent by now: a turn of the loop, and more while some come.

        Where children are sent one run at a time a turn brings one or two, or none. So a node with many short runs
        before it waits for a moment: with `-O fair` a transaction settled 2.6 of them on average, and took half of the
        supervisor's time; it settles 20 now.
        """
        for _ in range(_GATHER_TURNS):
            count = len(self._pending)
            if len(self._holdings) <= count:
                return
            await asyncio.sleep(0)
            if len(self._pending) == count:
                break
        if len(self._pending) < WORTH_SETTLING and (seconds := self._gather_for()):
            await asyncio.sleep(seconds)

    async def _store_started(self, batch: Sequence[Ending]) -> None:
        for ending in batch:
            self._started.pop(ending.held.number, None)
        started, self._started = self._started, {}
        if not started or self._backend is None:
            return
        try:
            await asyncio.to_thread(self._backend.note, list(started.values()))
        except Exception as exc:  # noqa: BLE001 - nothing depends on it
            logger.warning("STARTED was not recorded for %d runs: %s", len(started), exc)

    async def _end(self, batch: Sequence[Ending]) -> None:
        """Do what each ending asks for, step by step: no step is repeated because a later one failed."""
        acked = [ending for ending in batch if ending.held.acked]
        owned = [ending for ending in batch if not ending.held.acked]
        settled = [ending for ending in owned if isinstance(ending.how, Settlement)]
        released = [ending for ending in owned if isinstance(ending.how, Release)]
        await self._take_steps(acked, *self._apart, self._bury, self._free)
        if self.one_store:
            await self._take_steps(settled, self._settle)
        else:
            await self._take_steps(settled, *self._apart, self._ack)
        await self._take_steps(released, self._release)

    async def _take_steps(self, batch: list[Ending], *steps: Step) -> None:
        for step in steps:
            if batch:
                batch = await self._until_done(batch, step)
        for ending in batch:
            self._consumer.note_ended(ending.held.delivery)
            self._holdings.remove(ending.held)
            if ending.held.is_watched and self._on_ended is not None:
                self._on_ended(ending.held, ending.how.publish if isinstance(ending.how, Settlement) else ())

    async def _until_done(self, batch: list[Ending], step: Step) -> list[Ending]:
        """Take one step with a batch; return the batch, with those ended as failures that the store refused."""
        while True:
            try:
                await step(batch)
            except OperationalError as exc:
                delay = self._backoff.next()
                logger.warning("cannot settle %d messages, trying again in %.1f s: %s", len(batch), delay, exc)
                await asyncio.sleep(delay)
            except Exception as exc:  # noqa: BLE001 - whatever the store says about one of them
                return await self._divide(batch, step, exc)
            else:
                self._backoff.reset()
                return batch

    async def _divide(self, batch: list[Ending], step: Step, error: Exception) -> list[Ending]:
        """Find the one ending that the store refuses, by halves, and settle it as a failure that says so."""
        if len(batch) > 1:
            middle = len(batch) // 2
            return await self._until_done(batch[:middle], step) + await self._until_done(batch[middle:], step)
        [ending] = batch
        logger.error("the store refused the end of %s[%s]", *_names(ending.held), exc_info=error)
        if ending.is_last_try:
            # Nothing can be stored about it: the claim ends with this node, and the message runs again.
            await asyncio.sleep(self._backoff.next())
            return []
        return await self._until_done([self._last_try(ending, error)], step)

    def _last_try(self, ending: Ending, error: Exception) -> Ending:
        delivery = ending.held.delivery
        if isinstance(ending.how, Release):
            return Ending(ending.held, Release(delivery=delivery), is_last_try=True)
        failed = after_refusal_by_store(ending.how, error, self._done_at(), form=self._form)
        if ending.held.is_watched:
            ending.held.says = saying_failed(error)
        if self._counting is not None:
            failed = self._counting.add_to(failed, error)
        return _freeing(Ending(ending.held, failed, is_last_try=True))

    # -- the steps ----------------------------------------------------------------------------------------------

    async def _publish(self, batch: Sequence[Ending]) -> None:
        messages = [message for one in _settlements(batch) for message in one.publish]
        if messages:
            deadline_at = time.monotonic() + _PUBLISH_TIMEOUT
            await asyncio.to_thread(self._publisher.publish, messages, deadline_at=deadline_at)

    async def _start(self, batch: Sequence[Ending]) -> None:
        """Start the joins of what is published next."""
        effects = [
            JoinEffects(starts=one.joins.starts, additions=one.joins.additions)
            for one in _settlements(batch)
            if one.joins is not None and (one.joins.starts or one.joins.additions)
        ]
        await self._join(effects)

    async def _count(self, batch: Sequence[Ending]) -> None:
        """Count members, and publish the messages of joins that are complete: again, when this is done again."""
        effects = [
            JoinEffects(counts=one.joins.counts)
            for one in _settlements(batch)
            if one.joins is not None and one.joins.counts
        ]
        await self._join(effects)

    async def _finish(self, batch: Sequence[Ending]) -> None:
        """Note which joins are done: their bodies are published, or have failed."""
        effects = [
            JoinEffects(joined=one.joins.joined)
            for one in _settlements(batch)
            if one.joins is not None and one.joins.joined
        ]
        await self._join(effects)

    async def _join(self, effects: Sequence[JoinEffects]) -> None:
        if not effects or self._backend is None:
            return
        complete = await asyncio.to_thread(self._backend.join, effects)
        if complete:
            deadline_at = time.monotonic() + _PUBLISH_TIMEOUT
            await asyncio.to_thread(self._publisher.publish, complete, deadline_at=deadline_at)

    async def _store(self, batch: Sequence[Ending]) -> None:
        if self._backend is None:
            return
        if self._backend.sends_answers:
            records = [record for one in _settlements(batch) for record in addressed(one.results, one.delivery.message)]
        else:
            records = [record for one in _settlements(batch) for record in one.results]
        if records:
            await asyncio.to_thread(self._backend.store, records, once=True)

    async def _bury(self, batch: Sequence[Ending]) -> None:
        letters = [
            (one.delivery.message, one.dead_reason) for one in _settlements(batch) if one.dead_reason is not None
        ]
        if letters:
            deadline_at = time.monotonic() + _PUBLISH_TIMEOUT
            await asyncio.to_thread(self._broker.bury, letters, deadline_at=deadline_at)

    async def _free(self, batch: Sequence[Ending]) -> None:
        runs = [(one.frees, one.delivery.message.task_id) for one in _settlements(batch) if one.frees is not None]
        if runs:
            await self._consumer.free(runs)

    async def _ack(self, batch: Sequence[Ending]) -> None:
        bare = [
            msgspec.structs.replace(one, result=None, publish=(), others=(), joins=None) for one in _settlements(batch)
        ]
        _note_refused(batch, await self._consumer.settle(bare, None))

    async def _settle(self, batch: Sequence[Ending]) -> None:
        _note_refused(batch, await self._consumer.settle(_settlements(batch), self._sink))

    async def _release(self, batch: Sequence[Ending]) -> None:
        await self._consumer.release([one.how for one in batch if isinstance(one.how, Release)])


def _settlements(batch: Sequence[Ending]) -> list[Settlement]:
    return [one.how for one in batch if isinstance(one.how, Settlement)]


def _freeing(ending: Ending) -> Ending:
    """Have what a run keeps others from end with it: its unique key, and its place inside of a limit."""
    held, how = ending.held, ending.how
    if (held.intake.unique_key is None and held.room is None) or not isinstance(how, Settlement):
        return ending
    if held.intake.unique_key is not None:
        how = freeing(how, held.intake.unique_key)
    return Ending(held, msgspec.structs.replace(how, room=held.room), ending.is_last_try)


def _note_refused(batch: Sequence[Ending], refused: Sequence[Settlement]) -> None:
    for one in refused:
        for ending in batch:
            if ending.held.delivery is one.delivery:
                ending.held.is_watched = False  # whoever has it now tells of it
        logger.warning(
            "the outcome of message %s was refused: this node was declared dead meanwhile, and the message belongs to "
            "another node, which runs it again",
            one.delivery.message.task_id,
        )


def _names(held: Held) -> tuple[str, str]:
    return held.intake.task, held.intake.id
