"""The caller's view of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from celeriac import states
from celeriac.app.context import worker_context
from celeriac.app.current import current_app
from celeriac.app.timing import finite_seconds
from celeriac.backends.base import ResultBackend, StoredResult
from celeriac.exceptions import ResultBackendDisabled, TimeoutError
from celeriac.wire.results import Record, exception_from_map, read_record

if TYPE_CHECKING:
    from celeriac.app.application import Celery

R_co = TypeVar("R_co", covariant=True)


class AsyncResult(Generic[R_co]):
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

    __slots__ = ("__weakref__", "_app", "_backend", "_final", "_name", "id", "ignored", "parent")

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

    @property
    def task_id(self) -> str:
        """The id, under the name that messages use."""
        return self.id

    @property
    def backend(self) -> ResultBackend:
        """Where the result is looked up.

        Raises:
            ResultBackendDisabled: results are kept nowhere.
        """
        backend = self._backend or (self._app or current_app()).backend
        if backend is None:
            raise ResultBackendDisabled(
                f"no result of task {self.id} can be read, because results are not kept: this app has no result "
                "backend. Set `result_backend`, for example to 'sqlite:///results.db'."
            )
        return backend

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        *,
        callback: Callable[[str, R_co], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait for the run to end and return what it returned.

        Args:
            timeout: seconds to wait; None waits for ever, 0 looks once.
            propagate: raise what the run raised, instead of returning the exception.
            interval: accepted for Celery's sake; nothing is polled.
            callback: called with the id and the value before they are returned.
            disable_sync_subtasks: refuse to wait inside a task.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds.
            TimeoutError: the run had not ended in time.
            RuntimeError: called inside a task, which would occupy a slot that the awaited run may need.
            Exception: whatever the run raised, when it failed or was revoked.
        """
        if timeout is not None:
            timeout = finite_seconds("timeout", timeout)
        if self.ignored:
            return cast("R_co", None)
        if disable_sync_subtasks:
            self._refuse_inside_a_task()
        record = self._final or self._wait(timeout)
        value = _value_of(record)
        if propagate and record.status in states.PROPAGATE_STATES:
            if record.traceback:
                value.add_note(f"Raised in task {self.id}:\n{record.traceback}")
            raise value
        if callback is not None:
            callback(self.id, value)
        return cast("R_co", value)

    def ready(self) -> bool:
        """Say whether the run has ended, well or not."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Say whether the run returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Say whether the run raised."""
        return self.state == states.FAILURE

    @property
    def state(self) -> str:
        """State of the run; PENDING also when nothing is known of it."""
        record = self._look()
        return record.status if record is not None else states.PENDING

    status = state

    @property
    def result(self) -> Any:
        """What the run returned, the exception that it raised, or what a state such as STARTED tells."""
        record = self._look()
        return _value_of(record) if record is not None else None

    info = result

    @property
    def traceback(self) -> str | None:
        """Text of the traceback of a run that raised."""
        record = self._look()
        return record.traceback if record is not None else None

    def as_tuple(self) -> tuple[tuple[str, None], None]:
        """Return the form in which records name a result."""
        return (self.id, None), None

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __eq__(self, other: object) -> bool:
        return self.id == (other.id if isinstance(other, AsyncResult) else other)

    def __hash__(self) -> int:
        return hash(self.id)

    def _refuse_inside_a_task(self) -> None:
        context = worker_context()
        if context is not None:
            raise RuntimeError(
                f"task {context.task!r} (id {context.id}) waits for result {self.id}: a task that waits holds a slot "
                "which the other may need to run. Return, and let what follows be its own task."
            )

    def _wait(self, timeout: float | None) -> Record:
        found = self.backend.wait([self.id], timeout=timeout).get(self.id)
        if found is None:
            raise TimeoutError(f"task {self.id} was still {self.state} after {timeout:g} s of waiting for its result")
        return self._read(found)

    def _look(self) -> Record | None:
        if self._final is not None:
            return self._final
        found = self.backend.get(self.id)
        return self._read(found) if found is not None else None

    def _read(self, found: StoredResult) -> Record:
        record = read_record(found.record, (self._app or current_app()).conf.record_form)
        if record.status in states.READY_STATES:
            self._final = record
        return record


def _value_of(record: Record) -> Any:
    if record.status in states.PROPAGATE_STATES or (record.status == states.RETRY and record.result is not None):
        return exception_from_map(record.result, traceback=record.traceback)
    return record.result
