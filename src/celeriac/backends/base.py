"""What a result backend is: the port that every adapter implements.

`celeriac.testing.backends` says what every method must do, as a suite that each adapter passes. Records are bytes
here; `wire/results.py` gives them a meaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from celeriac.backends.missing import missing_of_backend
from celeriac.brokers.base import Checkup, ResultMeta

if TYPE_CHECKING:
    from celeriac.backends.joins import CountedMember, KeptJoin
    from celeriac.brokers.joins import JoinEffects
    from celeriac.message import Message

RESULT_EXPIRES: Final = 86_400.0
"""Seconds for which a result is kept, unless `result_expires` says otherwise."""


_GROUP: Final = "celery-taskset-meta-"
_SAVED: Final = "SAVED"


class StoredResult(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Return what is known of one run: the state, Celery's result map as serialized, and the attempt it is of.

    Of a SUCCESS, which stands whatever attempt it is of, an adapter may say 0.
    """

    task_id: str
    state: str
    record: bytes
    retries: int = 0


class ResultBackend(ABC):
    """Keep what runs came to.

    For one task id the first SUCCESS stands: later records of the same id change nothing. Any other record is
    replaced by the next one.

    A record is kept for a lifetime that adapters are made with; those whose state is FAILURE may have one of their
    own. Expired records are not returned, whenever somebody deletes them.

    Attributes:
        expires_by_itself: the store deletes what has expired; `expire` has nothing to do.
        counts_members: it keeps joins, so chords can be sent.
        sends_answers: results are sent to their callers, so what is stored must say where to.
    """

    expires_by_itself: ClassVar[bool] = False
    counts_members: ClassVar[bool] = False
    sends_answers: ClassVar[bool] = False

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the results are, for people: without a password."""

    def check_up(self) -> Checkup | None:
        """Look at how the store is set up; None where there is nothing that could be otherwise, or it is the broker's.

        Raises:
            OperationalError: it cannot be asked.
        """
        return None

    def answers_to(self) -> str | None:
        """Return the queue that calls of this process name for their answers; None where none is needed.

        Raises:
            BrokerUnavailable: there is none, and it cannot be made.
        """
        return None

    @abstractmethod
    def store(self, results: Sequence[ResultMeta], *, once: bool = False) -> None:
        """Keep records; returning means they are kept.

        Args:
            results: any number, for any ids, in the order of their making.
            once: also leave alone what is already in a final state for the same or a later attempt. For workers
                whose broker is another store, where no claim fences a run that somebody else has finished.

        Raises:
            OperationalError: the backend cannot be reached or written.
        """

    @abstractmethod
    def note(self, results: Sequence[ResultMeta]) -> None:
        """Keep records of how runs are getting on: STARTED, and the states that programs make up.

        They come from wherever a run is, fenced by nothing, so one that comes late changes nothing: it leaves alone a
        SUCCESS, what is of a later attempt, and what has ended the same attempt (a final state, RETRY). STARTED and
        RECEIVED also leave alone any other state of the same attempt: they are told by somebody else than the run,
        who may be slower.

        Raises:
            OperationalError: the backend cannot be reached or written.
        """

    @abstractmethod
    def get(self, task_id: str) -> StoredResult | None:
        """Return the record of one run, or None when there is none (Celery calls that PENDING)."""

    @abstractmethod
    def get_many(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        """Return the records there are, by task id."""

    @abstractmethod
    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        """Wait until at least one of the runs is in a final state; return all of them that are.

        Args:
            task_ids: runs to wait for.
            timeout: seconds; None waits for ever; 0 only looks.

        Returns:
            The final records by task id; empty after the timeout.
        """

    @abstractmethod
    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        """Do what `wait` does without blocking the event loop.

        Any number may wait in one loop: they share what a loop needs of the system. One that is cancelled leaves
        nothing behind.
        """

    async def get_async(self, task_id: str) -> StoredResult | None:
        """Do what `get` does without blocking the event loop; in a thread, where an adapter knows nothing better."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        return await asyncio.to_thread(self.get, task_id)

    def exists(self, task_id: str) -> bool:
        """Say whether there is a record of one run."""
        return self.get(task_id) is not None

    @abstractmethod
    def forget(self, task_ids: Collection[str]) -> None:
        """Delete records; unknown ids are no error."""

    async def forget_async(self, task_ids: Collection[str]) -> None:
        """Do what `forget` does without blocking the event loop; in a thread, where an adapter knows nothing better."""
        import asyncio

        await asyncio.to_thread(self.forget, task_ids)

    def save_group(self, group_id: str, record: bytes) -> None:
        """Keep which results belong to a group, for the lifetime of a result."""
        self.store([ResultMeta(task_id=_GROUP + group_id, state=_SAVED, record=record)])

    def restore_group(self, group_id: str) -> bytes | None:
        """Return what was saved of a group, or None."""
        found = self.get(_GROUP + group_id)
        return None if found is None else found.record

    def delete_group(self, group_id: str) -> None:
        """Delete what was saved of a group; an unknown id is no error."""
        self.forget([_GROUP + group_id])

    def join(self, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        """Change joins; returning means that it is kept.

        All of it may be done again. Members are counted by id and index, so one that is counted twice counts once. A
        join that is not joined is kept for `JOIN_EXPIRES` from its last change, one that is for `JOINED_EXPIRES`;
        what is counted or started in a joined one changes nothing.

        Returns:
            The internal messages of joins that are complete, to be published before anything that depends on it is
            settled. A message is returned each time that a member of its join is counted, until `joined` names it.

        Raises:
            NotImplementedError: this backend keeps no joins (`counts_members`).
            OperationalError: the backend cannot be reached or written.
        """
        raise NotImplementedError(f"the result backend {self.url} cannot count the members of chords in this version")

    def kept_join(self, group_id: str) -> KeptJoin | None:
        """Return what is kept of a join; None when there is none, or it has expired."""
        raise NotImplementedError(f"the result backend {self.url} keeps no chords in this version")

    def members(self, group_id: str) -> Iterator[Sequence[CountedMember]]:
        """Yield the members of a join that have ended, in the order of their index, some hundreds at a time.

        Those of one index come in any order, those without one last.
        """
        raise NotImplementedError(f"the result backend {self.url} keeps no chords in this version")

    @abstractmethod
    def expire(self) -> int:
        """Delete a bounded share of the records that have expired and say how many; 0 when none was left."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. May be called twice; a later call of another method opens again."""

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name raised AttributeError: have it say why again
                return object.__getattribute__(self, name)
            raise missing_of_backend(type(self).__name__, name)
