"""A result backend in the memory of one process, sharing the store of the memory broker of the same name."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from celeriac.backends.base import RESULT_EXPIRES, ResultBackend, StoredResult
from celeriac.backends.joins import CountedMember, KeptJoin, apply_effects
from celeriac.backends.lifetimes import Lifetimes
from celeriac.backends.loop_waits import waits_of
from celeriac.backends.memory_joins import MemoryJoins, delete_expired_joins
from celeriac.brokers.base import ResultMeta
from celeriac.brokers.joins import JoinEffects
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.memory.store import KeptResult, Store, StoreSink, Transaction, store_named
from celeriac.clock import Clock
from celeriac.message import Message
from celeriac.states import READY_STATES, RECEIVED, RETRY, STARTED, SUCCESS

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

EXPIRE_AT_ONCE: Final = 1_000
"""Records that one `expire` deletes at most."""

EXPIRE_PER_STORE: Final = 2
"""Expired records that storing one takes along, so that a program which only stores does not grow for ever."""


Rule = Callable[[KeptResult, ResultMeta], bool]
"""Says whether what is kept may be replaced."""

_TOLD_BY_OTHERS: Final = frozenset({STARTED, RECEIVED})


class MemoryBackend(ResultBackend, StoreSink):
    """Keep results in this process.

    Args:
        broker: shares its store and its clock; None shares the store called `name`.
        expires: seconds for which a record is kept; None or 0 keeps it as long as the process.
        failure_expires: the same for FAILURE; None: as the others, 0 keeps it as long as the process.
        name: store to use when there is no broker.
        clock: tells when records expire when there is no broker; None: the store's.
    """

    counts_members: ClassVar[bool] = True

    def __init__(
        self,
        broker: MemoryBroker | None = None,
        *,
        expires: float | None = RESULT_EXPIRES,
        failure_expires: float | None = None,
        name: str = "default",
        clock: Clock | None = None,
    ) -> None:
        self.kept_in = broker.store if broker is not None else store_named(name)
        self._clock = broker.clock if broker is not None else clock or self.kept_in.clock
        self._lifetimes = Lifetimes.of(expires, failure_expires)

    @property
    def url(self) -> str:
        return f"memory://{self.kept_in.name}"

    def store(self, results: Sequence[ResultMeta], *, once: bool = False) -> None:
        self._store(results, _may_replace_once if once else _may_replace)

    def note(self, results: Sequence[ResultMeta]) -> None:
        self._store(results, _may_note_over)

    def _store(self, results: Sequence[ResultMeta], may_replace: Rule) -> None:
        with self.kept_in.transaction() as transaction:
            self._write(transaction, results, may_replace)
        self.announce()

    def write_within(self, transaction: object, results: Sequence[ResultMeta]) -> None:
        assert isinstance(transaction, Transaction), "callers ask shares_store_with() first"
        self._write(transaction, results, _may_replace)

    def announce(self) -> None:
        with self.kept_in.locked():
            self.kept_in.changed.notify_all()
        for tell in list(self.kept_in.told_of_results):
            tell()

    def _write(self, transaction: Transaction, results: Sequence[ResultMeta], may_replace: Rule) -> None:
        now = self._clock.now()
        expires_at = self._lifetimes.ends(now)
        self.kept_in.delete_expired(transaction, now=now, at_most=EXPIRE_PER_STORE * len(results))
        for new in results:
            kept = self.kept_in.results.get(new.task_id)
            if kept is None or _has_expired(kept, now) or may_replace(kept, new):
                ends_at = expires_at(new.state)
                kept = KeptResult(state=new.state, record=new.record, retries=new.retries, expires_at=ends_at)
                self.kept_in.set_result(transaction, new.task_id, kept)

    def get(self, task_id: str) -> StoredResult | None:
        return self.get_many([task_id]).get(task_id)

    def get_many(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        with self.kept_in.locked():
            return self._read(task_ids)

    def _read(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        now = self._clock.now()
        found = {task_id: self.kept_in.results.get(task_id) for task_id in task_ids}
        return {
            task_id: StoredResult(task_id=task_id, state=kept.state, record=kept.record, retries=kept.retries)
            for task_id, kept in found.items()
            if kept is not None and not _has_expired(kept, now)
        }

    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        # Real time, whatever the clock says: nobody would wake us when a test moves it.
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with self.kept_in.locked():
            while True:
                final = {id_: found for id_, found in self._read(task_ids).items() if found.state in READY_STATES}
                remaining = None if give_up_at is None else give_up_at - time.monotonic()
                if final or (remaining is not None and remaining <= 0):
                    return final
                self.kept_in.changed.wait(remaining)

    async def get_async(self, task_id: str) -> StoredResult | None:
        return self.get(task_id)

    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        waits = waits_of(self.kept_in, self._final, lambda: _LoopBell(self.kept_in))
        return await waits.wait(task_ids, timeout=timeout)

    def _final(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return {id_: found for id_, found in self.get_many(task_ids).items() if found.state in READY_STATES}

    # -- joins --------------------------------------------------------------------------------------------------

    def join(self, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        with self.kept_in.transaction() as transaction:
            return apply_effects(effects, MemoryJoins(self.kept_in, transaction), now=self._clock.now(), repeats=True)

    def join_within(self, transaction: object, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        assert isinstance(transaction, Transaction), "callers ask shares_store_with() first"
        return apply_effects(effects, MemoryJoins(self.kept_in, transaction), now=self._clock.now())

    def kept_join(self, group_id: str) -> KeptJoin | None:
        with self.kept_in.locked():
            kept: KeptJoin | None = self.kept_in.joins.get(group_id)
            return None if kept is None or kept.expires_at <= self._clock.now() else kept

    def members(self, group_id: str) -> Iterator[Sequence[CountedMember]]:
        with self.kept_in.locked():
            found: list[CountedMember] = list(self.kept_in.join_members.get(group_id, {}).values())
        if found:
            yield sorted(found, key=lambda one: float("inf") if one.index is None else one.index)

    # -- forgetting ---------------------------------------------------------------------------------------------

    def forget(self, task_ids: Collection[str]) -> None:
        with self.kept_in.transaction() as transaction:
            for task_id in task_ids:
                self.kept_in.set_result(transaction, task_id, None)

    def expire(self) -> int:
        with self.kept_in.transaction() as transaction:
            now = self._clock.now()
            deleted = self.kept_in.delete_expired(transaction, now=now, at_most=EXPIRE_AT_ONCE)
            return deleted + delete_expired_joins(self.kept_in, transaction, now=now, at_most=EXPIRE_AT_ONCE)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of, and the results stay."""


def _has_expired(kept: KeptResult, now: float) -> bool:
    return kept.expires_at is not None and kept.expires_at <= now


def _may_replace(kept: KeptResult, new: ResultMeta) -> bool:
    return kept.state != SUCCESS


def _may_replace_once(kept: KeptResult, new: ResultMeta) -> bool:
    return kept.state not in READY_STATES or (kept.state != SUCCESS and kept.retries < new.retries)


def _may_note_over(kept: KeptResult, new: ResultMeta) -> bool:
    if kept.state == SUCCESS or kept.retries != new.retries:
        return kept.state != SUCCESS and kept.retries < new.retries
    if kept.state in READY_STATES or kept.state == RETRY:
        return False
    return kept.state in _TOLD_BY_OTHERS or new.state not in _TOLD_BY_OTHERS


class _LoopBell:
    """Have a store tell an event loop of results."""

    net = 0.1

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tell: Callable[[], None] = lambda: None

    def start(self, loop: AbstractEventLoop, ring: Callable[[], None]) -> None:
        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed while somebody waited
                loop.call_soon_threadsafe(ring)

        self._tell = tell
        self._store.told_of_results.add(tell)

    def stop(self) -> None:
        self._store.told_of_results.discard(self._tell)
