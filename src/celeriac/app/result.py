"""The caller's view of one run."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, TypeVar, cast

from celeriac import states
from celeriac.app.current import current_app
from celeriac.app.joining import assert_will_not_block
from celeriac.app.remote_tracebacks import show_remote_traceback
from celeriac.app.result_record import RecordReader, meta_of, value_of
from celeriac.app.result_tree import ResultGraph, result_from_tuple, walk
from celeriac.app.result_waits import waits_for
from celeriac.app.timing import finite_seconds
from celeriac.backends.base import ResultBackend, StoredResult
from celeriac.exceptions import ResultBackendDisabled, TimeoutError
from celeriac.wire.results import Record, read_record

if TYPE_CHECKING:
    from celeriac.app.application import Celery

R_co = TypeVar("R_co", covariant=True)

_STATE_WITHIN: Final = 0.5
"""Seconds beyond its own that a coroutine waits which has waited in vain, to be told how far the run has come."""


class AsyncResult(RecordReader, Generic[R_co]):
    """Ask what became of a run.

    A final state is read once and kept, so asking again costs nothing; any other state is read anew each time.
    `str()` is the id, and results are equal when their ids are.

    Args:
        id: names the run.
        backend: where its result is looked up; None: where the app keeps results.
        task_name: name of the task, for those who ask; extended records know it themselves.
        app: None is the current one.
        parent: result of the run whose end this one follows.
        ignored: the call asked for no result.

    Attributes:
        id: names the run.
        parent: as given.
        ignored: as given; `get` then returns None at once.
    """

    __slots__ = ("__weakref__", "_app", "_backend", "_final", "_listeners", "_name", "id", "ignored", "parent")

    TimeoutError: ClassVar = TimeoutError

    # The app of a class of results, see `bound_class`.
    _home: ClassVar[Celery | None] = None

    def __init__(
        self,
        id: str,
        backend: ResultBackend | None = None,
        task_name: str | None = None,
        app: Celery | None = None,
        parent: AsyncResult[Any] | None = None,
        *,
        ignored: bool = False,
    ) -> None:
        if id is None:
            raise ValueError("AsyncResult needs the id of a run, got None")
        self.id = id
        self.ignored = ignored
        self.parent = parent
        self._app = app
        self._backend = backend
        self._name = task_name
        self._final: Record | None = None
        self._listeners: tuple[_Listener, ...] = ()

    @property
    def task_id(self) -> str:
        """The id, under the name that messages use."""
        return self.id

    @property
    def app(self) -> Celery:
        """The app whose result it is."""
        return self._app or self._home or current_app()

    @property
    def backend(self) -> ResultBackend:
        """Where the result is looked up.

        Raises:
            ResultBackendDisabled: results are kept nowhere.
        """
        backend = self._backend or (self._app or self._home or current_app()).backend
        if backend is None:
            raise ResultBackendDisabled(
                f"no result of task {self.id} can be read, because results are not kept: this app has no result "
                "backend. Set `result_backend`, for example to 'sqlite:///results.db'."
            )
        return backend

    # -- waiting ------------------------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, R_co], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: frozenset[str] = states.EXCEPTION_STATES,  # noqa: N803 - Celery's name
        PROPAGATE_STATES: frozenset[str] = states.PROPAGATE_STATES,  # noqa: N803 - Celery's name
    ) -> R_co:
        """Wait for the run to end and return what it returned.

        Args:
            timeout: seconds to wait; None waits for ever, 0 looks once.
            propagate: raise what the run raised, instead of returning the exception.
            interval: seconds between two calls of `on_interval`; nothing else is done so often.
            no_ack: accepted for Celery's sake; no result comes as a message that could be acknowledged.
            follow_parents: raise what a parent raised as soon as it has, for then this run will never begin.
            callback: called with the id and the value before they are returned.
            on_message: called with the record, as a dict, when it has come.
            on_interval: called without arguments while nothing happens.
            disable_sync_subtasks: refuse to wait inside a task.
            EXCEPTION_STATES: accepted for Celery's sake.
            PROPAGATE_STATES: the states whose exception is raised.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds, and it has to be waited.
            TimeoutError: the run had not ended in time.
            RuntimeError: called inside a task, which would occupy a slot that the awaited run may need.
            Exception: whatever the run raised, when it failed or was revoked.
        """
        if self.ignored:
            return cast("R_co", None)
        if disable_sync_subtasks:
            assert_will_not_block(self.id)
        parents = self._parents() if self.parent is not None and follow_parents and propagate else []
        record = self._known_after(parents)
        if record is None:
            timeout = _patience(timeout)
            if parents or on_interval is not None:
                record = self._wait_step_by_step(parents, timeout, interval, on_interval)
            else:
                record = self._wait(timeout)
        if on_message is not None:
            on_message(meta_of(record))
        return self._finish(record, propagate, callback, PROPAGATE_STATES)

    wait = get

    def _finish(
        self,
        record: Record,
        propagate: bool,
        callback: Callable[[str, R_co], object] | None,
        propagated: frozenset[str] = states.PROPAGATE_STATES,
    ) -> R_co:
        value = value_of(record)
        if propagate and record.status in propagated:
            raise self._shown(value, record)
        if callback is not None:
            callback(self.id, value)
        return cast("R_co", value)

    def _shown(self, error: Any, record: Record) -> BaseException:
        """Return the exception of a record, with the worker's traceback."""
        if not isinstance(error, BaseException):  # the states that are raised were chosen by the caller
            return Exception(error)
        if not record.traceback:
            return error
        name = record.name or self._name
        run = f"task {self.id}" if name is None else f"task {name}[{self.id}]"
        return show_remote_traceback(error, record.traceback, run, as_frames=self.app.conf.task_remote_tracebacks)

    def _wait(self, timeout: float | None) -> Record:
        found = self.backend.wait([self.id], timeout=timeout).get(self.id)
        if found is None:
            raise _too_late(self.id, timeout, self.state)
        return self._read(found)

    def _wait_step_by_step(
        self,
        parents: list[AsyncResult[Any]],
        timeout: float | None,
        interval: float,
        on_interval: Callable[[], object] | None,
    ) -> Record:
        backend = self.backend
        steps = waits_for(self.id, parents, timeout=timeout, interval=interval, on_interval=on_interval)
        found: StoredResult | None = None
        try:
            ids, seconds = next(steps)
            while True:
                ids, seconds = steps.send(backend.wait(ids, timeout=seconds))
        except StopIteration as end:
            found = end.value
        if found is None:
            raise _too_late(self.id, timeout, self.state)
        return self._read(found)

    def _known_after(self, parents: list[AsyncResult[Any]]) -> Record | None:
        """Return the final record if it was read before; raise what a parent is known to have raised."""
        if self._final is None:
            return None
        for parent in parents:
            parent.maybe_throw()
        return self._final

    def _parents(self) -> list[AsyncResult[Any]]:
        """Return the runs that come before this one, the first of all first."""
        parents, parent = [], self.parent
        while parent is not None:
            if isinstance(parent, AsyncResult):  # of a chord, the body tells which member of its header has failed
                parents.append(parent)
            parent = parent.parent
        return parents[::-1]

    def take(self, found: StoredResult) -> None:
        """Make a record that somebody else has read this result's own."""
        self._read(found)

    def throw_if_known(self) -> None:
        """Raise what the run raised if that is known already; look nowhere."""
        if self._final is not None:
            self._finish(self._final, propagate=True, callback=None)

    # -- in coroutines ------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.aget().__await__()

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        follow_parents: bool = True,
        callback: Callable[[str, R_co], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Do what `get` does without blocking the event loop; ``await result`` is this without arguments.

        When it is cancelled nothing has happened: the run goes on, and its result can be asked for again.
        """
        if self.ignored:
            return cast("R_co", None)
        if disable_sync_subtasks:
            assert_will_not_block(self.id)
        parents = self._parents() if self.parent is not None and follow_parents and propagate else []
        record = self._known_after(parents)
        if record is None:
            record = await self._await_step_by_step(parents, _patience(timeout))
        return self._finish(record, propagate, callback)

    async def _await_step_by_step(self, parents: list[AsyncResult[Any]], timeout: float | None) -> Record:
        backend = self.backend
        steps = waits_for(self.id, parents, timeout=timeout, interval=0.5, on_interval=None)
        found: StoredResult | None = None
        try:
            ids, seconds = next(steps)
            while True:
                ids, seconds = steps.send(await backend.wait_async(ids, timeout=seconds))
        except StopIteration as end:
            found = end.value
        if found is None:
            raise _too_late(self.id, timeout, await self._state_soon())
        return self._read(found)

    async def _state_soon(self) -> str:
        """Return the state, for somebody whose time is over; PENDING when the store does not tell it at once."""
        import asyncio

        try:
            async with asyncio.timeout(_STATE_WITHIN):
                return await self.astate()
        except asyncio.TimeoutError:  # noqa: UP041 - the shorter name is that of our own
            return states.PENDING

    async def astate(self) -> str:
        """Return the state, as `state` does, without blocking the event loop."""
        record = await self._alook()
        return record.status if record is not None else states.PENDING

    async def aready(self) -> bool:
        """Say whether the run has ended, as `ready` does, without blocking the event loop."""
        return await self.astate() in states.READY_STATES

    async def aforget(self) -> None:
        """Do what `forget` does without blocking the event loop."""
        chain = [*self._parents(), self]
        await self.backend.forget_async([one.id for one in chain])
        for one in chain:
            one._final = None

    async def arevoke(self, *args: Any, **options: Any) -> None:
        """Do what `revoke` does without blocking the event loop."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        await asyncio.to_thread(self.revoke, *args, **options)

    async def acancel(self, *args: Any, **options: Any) -> None:
        """Do what `cancel` does without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.cancel, *args, **options)

    # -- reading ------------------------------------------------------------------------------------------------

    def _look(self) -> Record | None:
        if self._final is not None:
            return self._final
        found = self.backend.get(self.id)
        return self._read(found) if found is not None else None

    async def _alook(self) -> Record | None:
        if self._final is not None:
            return self._final
        found = await self.backend.get_async(self.id)
        return self._read(found) if found is not None else None

    def _read(self, found: StoredResult) -> Record:
        record = read_record(found.record, self.app.conf.record_form)
        if record.status in states.READY_STATES:
            self._final = record
            if self._listeners:
                self._tell()
        return record

    def exists(self) -> bool:
        """Say whether there is a record of the run now, which PENDING does not tell: it may have expired."""
        return self.backend.exists(self.id)

    @property
    def supports_native_join(self) -> bool:
        """Whether the backend waits for many results at once; all of them do."""
        return True

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> Any:
        """Raise what the run raised, if it has ended so; else return what `result` is now. Waits for nothing.

        Args:
            propagate: False returns the exception.
            callback: called with the id and the value before it is returned.
        """
        record = self._look()
        if record is None:
            record = Record(status=states.PENDING)
        return self._finish(record, propagate, callback)

    maybe_reraise = maybe_throw

    def throw(self, exc: BaseException, tb: TracebackType | None = None) -> NoReturn:
        """Raise an exception, with a traceback if one is given."""
        raise exc if tb is None else exc.with_traceback(tb)

    # -- being told ---------------------------------------------------------------------------------------------

    def then(
        self,
        callback: Callable[[AsyncResult[R_co]], object],
        on_error: Callable[[BaseException], object] | None = None,
        weak: bool = False,
    ) -> AsyncResult[R_co]:
        """Have `callback` called with this result as soon as it is known here that the run has ended.

        That is now if it is known already, else when somebody asks this object: by `get`, `await`, `ready()`,
        `state`. No thread watches for it.

        Args:
            callback: called however the run has ended.
            on_error: called after it with the exception, when the run has failed or was revoked.
            weak: do not keep the two alive.

        Returns:
            This result.
        """
        listener = _Listener(callback, on_error, weak=weak)
        if self.is_known():
            listener.tell(self)
        else:
            self._listeners += (listener,)
        return self

    def is_known(self) -> bool:
        """Say whether it is known here that the run has ended; look nowhere."""
        return self._final is not None

    @property
    def wants_record(self) -> bool:
        """Whether a record tells more than is known here."""
        return self._final is None and not self.ignored

    def _tell(self) -> None:
        listeners, self._listeners = self._listeners, ()
        for listener in listeners:
            listener.tell(self)

    # -- what follows, and what was before ----------------------------------------------------------------------

    @property
    def children(self) -> Any:
        """Results of the calls that the run made; None while that is not known."""
        record = self._look()
        if record is None or record.children is None:
            return None
        return [result_from_tuple(form, self.app, backend=self._backend) for form in record.children]

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[AsyncResult[Any] | None, AsyncResult[Any]]]:
        """Yield (sender, result) for this run, for what it has sent, for what that has sent, and so on.

        Args:
            intermediate: go on past runs that have not ended.

        Raises:
            IncompleteStream: a run has not ended; not with `intermediate`.
        """
        return walk(self, intermediate=intermediate)

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[AsyncResult[Any], Any]]:
        """Yield (result, value) for the results that `iterdeps` yields; `options` are those of `get`."""
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**options)

    def get_leaf(self) -> Any:
        """Return what the last of the runs of `iterdeps` returned."""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def build_graph(self, intermediate: bool = False, formatter: None = None) -> ResultGraph:
        """Return which run has sent which others; raises as `iterdeps` does. `formatter` has no effect."""
        return ResultGraph(self.iterdeps(intermediate=intermediate))

    @property
    def graph(self) -> ResultGraph:
        """What `build_graph` returns."""
        return self.build_graph()

    def as_tuple(self) -> tuple[tuple[str, Any], None]:
        """Return the form in which records name a result: ``((id, parent's form), None)``."""
        return (self.id, None if self.parent is None else self.parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """Return the ids of this run and its parents, this one first."""
        return [self.id] if self.parent is None else [self.id, *self.parent.as_list()]

    # -- ending -------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Delete the records of this run and of its parents."""
        chain = [*self._parents(), self]
        self.backend.forget([one.id for one in chain])
        for one in chain:
            one._final = None

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Have the run not begin; with `terminate`, also end it when it is under way. See `Control.revoke`.

        Args:
            connection: of no effect; taken because Celery has it.
            terminate: also kill the process that runs it, with `signal`.
            signal: such as ``SIGTERM``, which is the default, ``KILL`` or 9.
            wait: wait for answers of nodes.
            timeout: seconds for that; None is one second.

        Raises:
            BrokerUnavailable: it could not be stored in time.
        """
        self.app.control.revoke(self.id, terminate=terminate, signal=signal or "SIGTERM", reply=wait, timeout=timeout)

    def cancel(self, reason: str | None = None, grace: float | None = None, *, by: str | None = None) -> None:
        """Have the run not begin, or end with `TaskCancelled`, which it can clean up after. See `Control.cancel`.

        Args:
            reason: why; the first argument of the exception.
            grace: seconds that it has to end by itself; None leaves it to the node.
            by: who wants it; None is user and host of this process.

        Raises:
            BrokerUnavailable: it could not be stored in time.
        """
        self.app.control.cancel(self.id, reason, grace, by=by)

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Revoke whatever bears one of some stamps, whether this run does or not.

        Args:
            headers: values by the names of stamps, as `Control.revoke_by_stamped_headers` takes them.
            connection, terminate, signal, wait, timeout: see `revoke`.

        Raises:
            DecodeError: no stamp is named, or too many.
            BrokerUnavailable: it could not be stored in time.
        """
        self.app.control.revoke_by_stamped_headers(
            headers, terminate=terminate, signal=signal or "SIGTERM", reply=wait, timeout=timeout
        )

    # -- as a value ---------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __copy__(self) -> AsyncResult[R_co]:
        return type(self)(self.id, self._backend, self._name, self._app, self.parent, ignored=self.ignored)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # Without the app and its connections: what comes out of a pickle belongs to the app that is current there.
        kind = next(kind for kind in type(self).__mro__ if vars(kind).get("_home") is None)
        return _again, (kind, self.id, self._name, self.parent, self.ignored)


def bound_class(app: Celery) -> type[AsyncResult[Any]]:
    """Return a class of results that belong to an app, from which programs can derive their own."""
    return type("AsyncResult", (AsyncResult,), {"__slots__": (), "__module__": __name__, "_home": app})


class _Listener:
    """Hold what `then` was given."""

    __slots__ = ("_callback", "_on_error")

    def __init__(self, callback: Any, on_error: Any, *, weak: bool) -> None:
        self._callback = _reference(callback) if weak else lambda: callback
        self._on_error = _reference(on_error) if weak and on_error is not None else lambda: on_error

    def tell(self, result: AsyncResult[Any]) -> None:
        callback, on_error = self._callback(), self._on_error()
        if callback is not None:
            callback(result)
        if on_error is not None and result.state in states.PROPAGATE_STATES:
            on_error(result.result)


def _reference(function: Any) -> Callable[[], Any]:
    return weakref.WeakMethod(function) if isinstance(function, MethodType) else weakref.ref(function)


def _patience(timeout: Any) -> float | None:
    """Check a timeout that is needed. For a known result programs give anything, as Celery does not look at it then."""
    return None if timeout is None else finite_seconds("timeout", timeout)


def _too_late(task_id: str, timeout: float | None, state: str) -> TimeoutError:
    return TimeoutError(f"task {task_id} was still {state} after {timeout:g} s of waiting for its result")


def _again(
    kind: type[AsyncResult[Any]], id: str, name: str | None, parent: AsyncResult[Any] | None, ignored: bool
) -> AsyncResult[Any]:
    return kind(id, None, name, None, parent, ignored=ignored)
