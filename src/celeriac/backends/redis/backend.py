"""Results in Redis: in the keys and bytes of Celery, so that its workers and clients read them, and we theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, ClassVar, Final

from celeriac.backends.base import RESULT_EXPIRES, ResultBackend, StoredResult
from celeriac.backends.joins import CountedMember, KeptJoin
from celeriac.backends.lifetimes import Lifetimes
from celeriac.backends.redis.joins import calls_of, kept_of, listed_members, scored_members
from celeriac.backends.redis.records import ResultKeys, read_results
from celeriac.backends.redis.subscriber import Subscriber
from celeriac.brokers.base import Checkup, ResultMeta, ResultSink
from celeriac.brokers.joins import JoinEffects
from celeriac.brokers.redis.dialing import Word
from celeriac.brokers.redis.joining import JoinRow
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import RedisPlace
from celeriac.brokers.redis.scripts import script
from celeriac.brokers.redis.server import check_up
from celeriac.exceptions import BrokerUnavailable, MessageTooLarge
from celeriac.message import Message
from celeriac.states import FAILURE, READY_STATES

ANSWER_WITHIN: Final = 5.0
"""Seconds for one call, with connecting."""

RECORD_MAX_BYTES: Final = 500 * 1024 * 1024
"""Largest record. Redis refuses values from 512 MB, and would close the connection on its way there."""

_CHUNK: Final = 500
"""Records in one command."""

_CHUNK_BYTES: Final = 8 * 1024 * 1024


class RedisBackend(ResultBackend, ResultSink):
    """Keep results in one database of a Redis server.

    Args:
        place: what `result_backend` names.
        options: what `result_backend_transport_options` and other settings say about it.
        expires: seconds for which a record is kept; None or 0 keeps it for ever.
        failure_expires: the same for FAILURE; None: as the others, 0 keeps it for ever.
    """

    expires_by_itself: ClassVar[bool] = True
    counts_members: ClassVar[bool] = True

    def __init__(
        self,
        place: RedisPlace,
        options: RedisOptions,
        *,
        expires: float | None = RESULT_EXPIRES,
        failure_expires: float | None = None,
    ) -> None:
        self.place = place
        self.keys = ResultKeys.of(options.global_keyprefix)
        self._link = Link.at(place, options)
        self._answer_within = options.answer_within or ANSWER_WITHIN
        self._asks_again = options.asks_again
        self._subscriber = Subscriber.at(self._link, self.keys)
        self._ordered = options.chord_ordered
        lifetimes = Lifetimes.of(expires, failure_expires)
        self._lifetime_ms = _milliseconds(lifetimes.other)
        self._failure_lifetime_ms = _milliseconds(lifetimes.failure)

    @property
    def url(self) -> str:
        return self.place.url

    def link(self) -> Link:
        """Return what commands are sent through, for looking at the server."""
        return self._link

    def close(self) -> None:
        self._subscriber.close()
        self._link.close()

    def check_up(self) -> Checkup:
        return check_up(self._link, deadline_at=monotonic() + ANSWER_WITHIN, keeps_messages=False)

    # -- writing ------------------------------------------------------------------------------------------------

    def store(self, results: Sequence[ResultMeta], *, once: bool = False) -> None:
        self._keep("once" if once else "store", results)

    def note(self, results: Sequence[ResultMeta]) -> None:
        self._keep("note", results)

    def _keep(self, mode: str, results: Sequence[ResultMeta]) -> None:
        kept_by = script("store_results")
        for part in _parts(results):
            rows = [self._row(one) for one in part]
            keys = [key for row in rows for key in row[:2]]
            args: list[Word] = [mode]
            for row in rows:
                args += row[2:]
            self._answered(partial(self._link.run, kept_by, keys, args))

    def write_within(self, transaction: object, results: Sequence[ResultMeta]) -> None:
        assert isinstance(transaction, list), "callers ask shares_store_with() first"
        transaction += [self._row(one) for one in results]

    def join_within(self, transaction: object, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        assert isinstance(transaction, list), "callers ask shares_store_with() first"
        transaction += self._join_rows(effects)
        return ()  # the script that settles publishes them

    def announce(self) -> None:
        """Do nothing: the script that keeps a record publishes it."""

    def _row(self, one: ResultMeta) -> tuple[str, str, bytes, str, int, int]:
        """Return the arguments of `keep_result` in Lua, but for the last."""
        if len(one.record) > RECORD_MAX_BYTES:
            raise MessageTooLarge(
                f"the result of task {one.task_id} has {len(one.record)} bytes, and redis keeps at most "
                f"{RECORD_MAX_BYTES}; return a reference to the data"
            )
        meta, attempt = self.keys.meta(one.task_id), self.keys.attempt(one.task_id)
        lifetime = self._failure_lifetime_ms if one.state == FAILURE else self._lifetime_ms
        return meta, attempt, one.record, one.state, one.retries, lifetime

    def forget(self, task_ids: Collection[str]) -> None:
        ids = list(task_ids)
        for start in range(0, len(ids), _CHUNK):
            self._call("UNLINK", *self.keys.both(ids[start : start + _CHUNK]))
        self._subscriber.forget(ids)

    def save_group(self, group_id: str, record: bytes) -> None:
        key = self.keys.group(group_id)
        self._call("SET", key, record, *(("PX", self._lifetime_ms) if self._lifetime_ms else ()))

    def restore_group(self, group_id: str) -> bytes | None:
        found: bytes | None = self._call("GET", self.keys.group(group_id))
        return found

    def delete_group(self, group_id: str) -> None:
        self._call("UNLINK", self.keys.group(group_id))

    def expire(self) -> int:
        """Do nothing: the server deletes what has expired."""
        return 0

    # -- joins --------------------------------------------------------------------------------------------------

    def join(self, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        rows = self._join_rows(effects)
        changed_by = script("join")
        complete: dict[object, Message] = {}
        for call in calls_of(rows):
            if call.names:
                answer = self._link.run(
                    changed_by, call.names, call.args(rows[0]), deadline_at=monotonic() + ANSWER_WITHIN
                )
                complete |= call.complete(answer)
        return list(complete.values())

    def kept_join(self, group_id: str) -> KeptJoin | None:
        """Return what is kept of a join; None also while another program publishes its body.

        Of a join that is complete, others leave the body to the caller for a minute.
        """
        names, ordered = self.keys.join(group_id), b"1" if self._ordered else b"0"
        answer = self._link.run(script("kept_join"), names, [ordered], deadline_at=monotonic() + ANSWER_WITHIN)
        return kept_of(answer)

    def members(self, group_id: str) -> Iterator[Sequence[CountedMember]]:
        key = self.keys.join(group_id)[0]
        start = 0
        while True:
            if self._ordered:
                found = scored_members(self._call("ZRANGE", key, start, start + _CHUNK - 1, "WITHSCORES"))
            else:
                found = listed_members(self._call("LRANGE", key, start, start + _CHUNK - 1))
            if not found:
                return
            yield found
            start += len(found)

    def _join_rows(self, effects: Sequence[JoinEffects]) -> list[JoinRow]:
        return [JoinRow(one, self.keys.join, self._ordered, self._lifetime_ms) for one in effects]

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> StoredResult | None:
        return self.get_many([task_id]).get(task_id)

    def get_many(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        ids = list(task_ids)
        found: dict[str, StoredResult] = {}
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            found |= read_results(part, self._call("MGET", *self.keys.both(part)))
        return found

    def exists(self, task_id: str) -> bool:
        return bool(self._call("EXISTS", self.keys.meta(task_id)))

    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        """Wait as the port says. Of what a message has told, the attempt is said to be 0."""
        if not task_ids or (timeout is not None and timeout <= 0):
            return self._final(task_ids)
        return self._subscriber.wait(task_ids, timeout=timeout)

    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        if not task_ids or (timeout is not None and timeout <= 0):
            import asyncio  # 30 ms that programs without coroutines need not wait for

            return await asyncio.to_thread(self._final, task_ids)
        return await self._subscriber.wait_async(task_ids, timeout=timeout)

    def _final(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return {task_id: one for task_id, one in self.get_many(task_ids).items() if one.state in READY_STATES}

    def _call(self, *words: Word) -> Any:
        return self._answered(partial(self._link.call, *words, repeatable=True))

    def _answered(self, ask: Callable[..., Any]) -> Any:
        """Call with a deadline, and once more when there was no answer by then and that is wanted."""
        try:
            return ask(deadline_at=monotonic() + self._answer_within)
        except BrokerUnavailable:
            if not self._asks_again:
                raise
        return ask(deadline_at=monotonic() + self._answer_within)


def _milliseconds(lifetime: float | None) -> int:
    """Return a lifetime as scripts take it: 0 is for ever."""
    return 0 if lifetime is None else max(1, round(lifetime * 1000))


def _parts(results: Sequence[ResultMeta]) -> Iterator[Sequence[ResultMeta]]:
    """Divide records into what one script is given at once."""
    part: list[ResultMeta] = []
    size = 0
    for one in results:
        if part and (len(part) == _CHUNK or size + len(one.record) > _CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.record)
    if part:
        yield part
