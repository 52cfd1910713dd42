"""Results of several runs, asked for together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

from celeriac import states
from celeriac.app.current import current_app
from celeriac.app.joining import assert_will_not_block
from celeriac.app.result_record import meta_of
from celeriac.app.result_tree import ResultBase
from celeriac.exceptions import TimeoutError
from celeriac.wire.results import Record

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.result import AsyncResult

_LOOKED_UP = 1_000
"""Records that are read in one go while results are joined."""


class ResultSet(ResultBase):
    """Ask what became of several runs.

    Args:
        results: the results, which may be of groups too.
        app: None is that of the results, else the current one.

    Attributes:
        results: as given, in that order.
    """

    __slots__ = ("_app", "_listeners", "results")

    # The app of a class of results, see `bound_class`.
    _home: ClassVar[Celery | None] = None

    def __init__(self, results: Iterable[Any] = (), app: Celery | None = None, **options: Any) -> None:
        self.results: Any = results if isinstance(results, Sequence) else list(results)
        self._app = app
        self._listeners: list[tuple[Callable[..., object], Callable[..., object] | None]] = []

    @property
    def app(self) -> Celery:
        """The app whose results they are."""
        found = self._app or self._home
        if found is None and self.results:
            found = self.results[0].app
        return found or current_app()

    @property
    def backend(self) -> Any:
        """Where the results are looked up."""
        return self.results[0].backend if self.results else self.app.backend

    # -- which they are -----------------------------------------------------------------------------------------

    def add(self, result: AsyncResult[Any]) -> None:
        """Add a result, unless it is there."""
        if result not in self._own():
            self._own().append(result)

    def remove(self, result: AsyncResult[Any] | str) -> None:
        """Take out a result, given as itself or by id.

        Raises:
            KeyError: it is not there.
        """
        try:
            self._own().remove(self.app.AsyncResult(result) if isinstance(result, str) else result)
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: AsyncResult[Any] | str) -> None:
        """Take out a result, if it is there."""
        try:
            self.remove(result)
        except KeyError:
            return

    def update(self, results: Iterable[AsyncResult[Any]]) -> None:
        """Add results."""
        for each in results:
            self.add(each)

    def clear(self) -> None:
        """Take out all of them."""
        self._own().clear()

    def _own(self) -> list[Any]:
        if not isinstance(self.results, list):
            self.results = list(self.results)
        return self.results

    # -- how they are -------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Say whether all of them have ended."""
        return all(each.ready() for each in self.results)

    def waiting(self) -> bool:
        """Say whether one has not ended."""
        return any(not each.ready() for each in self.results)

    def successful(self) -> bool:
        """Say whether all of them have succeeded."""
        return all(each.successful() for each in self.results)

    def failed(self) -> bool:
        """Say whether one has failed."""
        return any(each.failed() for each in self.results)

    def completed_count(self) -> int:
        """Count those that have succeeded."""
        return sum(int(each.successful()) for each in self.results)

    def maybe_throw(self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True) -> None:
        """Raise what one of them raised, if that is known; wait for nothing."""
        for each in self.results:
            each.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw

    @property
    def supports_native_join(self) -> bool:
        """Whether the backend is asked for many of them at once."""
        return bool(self.results) and self.results[0].supports_native_join

    # -- waiting ------------------------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[Any]:
        """Wait for all of them to end, and return what they returned, in their order.

        Args:
            timeout: seconds for all of them together; None waits for ever.
            propagate: raise what the first of them, in their order, raised, instead of returning exceptions.
            interval: seconds between two calls of `on_interval`.
            callback: called with id and value of each; the list that is returned is empty then, as in Celery.
            no_ack: accepted for Celery's sake.
            on_message: called with the record of each, as a dict.
            disable_sync_subtasks: refuse to wait inside a task.
            on_interval: called without arguments while nothing happens.

        Raises:
            TimeoutError: some had not ended in time.
            RuntimeError: called inside a task.
        """
        if disable_sync_subtasks:
            assert_will_not_block(getattr(self, "id", None))
        until = None if timeout is None else time.monotonic() + timeout
        values: list[Any] = []
        for part in _parts(self.results):
            self._look_up(part)
            for each in part:
                left = None if until is None else max(0.0, until - time.monotonic())
                value = each.get(
                    timeout=left,
                    propagate=propagate,
                    interval=interval,
                    no_ack=no_ack,
                    on_message=on_message,
                    on_interval=on_interval,
                    disable_sync_subtasks=False,
                )
                if callback is not None:
                    callback(each.id, value)
                else:
                    values.append(value)
        self._tell()
        return values

    join = get
    join_native = get

    def _look_up(self, part: Sequence[Any]) -> None:
        """Read the records of results in one go, as far as there are any yet."""
        unknown = {each.id: each for each in part if each.wants_record}
        if len(unknown) > 1:
            for task_id, found in next(iter(unknown.values())).backend.get_many(list(unknown)).items():
                unknown[task_id].take(found)

    def iterate(self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5) -> Iterator[Any]:
        """Yield what they return in the order in which they end, or raise what one raises."""
        for each in self._as_they_end(timeout):
            if isinstance(each, ResultSet):
                yield each.get(propagate=propagate)
            else:
                yield None if each.ignored else each.maybe_throw(propagate=propagate)

    def iter_native(
        self,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Any = None,
        on_interval: Any = None,
    ) -> Iterator[tuple[str, Any]]:
        """Yield (id, record) in the order in which the runs end.

        Records are dicts with `status`, `result` and what else `AsyncResult.get` shows to `on_message`; of a member
        that is a group, the results of its members stand there. Of a run without a result the record says PENDING.

        Args:
            timeout: seconds for all of them together; None waits for ever.
            interval: accepted for Celery's sake, like `no_ack`, `on_message` and `on_interval`: nothing is polled.

        Raises:
            TimeoutError: some had not ended in time.
        """
        for each in self._as_they_end(timeout):
            yield each.id, each.results if isinstance(each, ResultSet) else _meta_of(each)

    def _as_they_end(self, timeout: float | None) -> Iterator[Any]:
        until = None if timeout is None else time.monotonic() + timeout
        waiting = {each.id: each for each in self.results}
        while waiting:
            ended = [task_id for task_id, each in waiting.items() if each.is_known() or each.ignored]
            for task_id in ended:
                yield waiting.pop(task_id)
            if ended or not waiting:
                continue
            left = None if until is None else max(0.0, until - time.monotonic())
            plain = {task_id: each for task_id, each in waiting.items() if each.wants_record}
            if not plain:
                first = next(iter(waiting.values()))
                first.get(timeout=left, propagate=False)
                continue
            found = next(iter(plain.values())).backend.wait(list(plain), timeout=left)
            if not found:
                raise TimeoutError(f"{len(waiting)} of {len(self.results)} runs had not ended after {timeout:g} s")
            for task_id, record in found.items():
                waiting[task_id].take(record)
                yield waiting.pop(task_id)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, Any], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """Do what `get` does without blocking the event loop."""
        if disable_sync_subtasks:
            assert_will_not_block(getattr(self, "id", None))
        until = None if timeout is None else time.monotonic() + timeout
        values = []
        for each in self.results:
            left = None if until is None else max(0.0, until - time.monotonic())
            value = await each.aget(timeout=left, propagate=propagate, disable_sync_subtasks=False)
            if callback is not None:
                callback(each.id, value)
            else:
                values.append(value)
        self._tell()
        return values

    ajoin = aget

    def __await__(self) -> Any:
        return self.aget().__await__()

    async def aiterate(self, timeout: float | None = None, propagate: bool = True) -> AsyncIterator[Any]:
        """Yield what they return, in their order, without blocking the event loop."""
        for each in self.results:
            yield await each.aget(timeout=timeout, propagate=propagate)

    async def aready(self) -> bool:
        """Say whether all of them have ended, without blocking the event loop."""
        for each in self.results:
            if not await each.aready():
                return False
        return True

    async def aforget(self) -> None:
        """Do what `forget` does without blocking the event loop."""
        for each in self.results:
            await each.aforget()

    async def arevoke(self, **options: Any) -> None:
        """Do what `revoke` does without blocking the event loop."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        await asyncio.to_thread(self.revoke, **options)

    # -- being told ---------------------------------------------------------------------------------------------

    def then(
        self, callback: Callable[..., object], on_error: Callable[..., object] | None = None, weak: bool = False
    ) -> ResultSet:
        """Have `callback` called as soon as it is known here that all have ended; see `AsyncResult.then`."""
        self._listeners.append((callback, on_error))
        if all(each.is_known() for each in self.results):
            self._tell()
        return self

    def _tell(self) -> None:
        listeners, self._listeners = self._listeners, []
        for callback, on_error in listeners:
            callback(self)
            failed = next((each for each in self.results if each.failed()), None)
            if on_error is not None and failed is not None:
                on_error(failed.result)

    # -- ending -------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Delete their records."""
        for each in self.results:
            each.forget()

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Forbid all of the runs, with one command; see `Control.revoke`."""
        ids = list(run_ids(self.results))
        self.app.control.revoke(ids, terminate=terminate, signal=signal or "SIGTERM", reply=wait, timeout=timeout)

    def cancel(self, reason: str | None = None, grace: float | None = None, *, by: str | None = None) -> None:
        """Have the runs not begin, or end with `TaskCancelled`, with one command; see `AsyncResult.cancel`."""
        self.app.control.cancel(list(run_ids(self.results)), reason, grace, by=by)

    # -- as a value ---------------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.results[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        return list(self.results) == list(other.results) if isinstance(other, ResultSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(str(each.id) for each in self.results)}]>"


def run_ids(results: Iterable[Any]) -> Iterator[str]:
    """Yield the ids of runs, those of groups among the results too."""
    for each in results:
        if isinstance(each, ResultSet):
            yield from run_ids(each.results)
        else:
            yield each.id


def _parts(results: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(results), _LOOKED_UP):
        yield results[first : first + _LOOKED_UP]


def _meta_of(result: Any) -> dict[str, Any]:
    """Return the record of a run that has ended, or tells no result, as a dict."""
    if result.ignored:
        return meta_of(Record(status=states.PENDING, task_id=result.id))
    meta: dict[str, Any] = result._get_task_meta()
    return meta
