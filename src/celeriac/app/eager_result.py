"""The result of a task that was run in the calling process: it is there before anybody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from celeriac import states
from celeriac.app.result import AsyncResult
from celeriac.exceptions import TaskCancelled, TaskRevokedError
from celeriac.wire.results import Record

R_co = TypeVar("R_co", covariant=True)


class EagerResult(AsyncResult[R_co]):
    """Tell how a run ended that took place where it was called.

    Args:
        id: names the run; None for one that did not take place.
        ret_value: what it returned, or the exception that it ended with.
        state: the state that it ended in.
        traceback: text of the traceback of such an exception.
        name: of the task.
    """

    __slots__ = ("_state", "_text", "_value")

    def __init__(
        self, id: str | None, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(id or "", task_name=name)
        if id is None:
            self.id = None  # type: ignore[assignment]  # as in Celery; what has run has an id
        self._value = ret_value
        self._state = state
        self._text = traceback

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *args: Any,
        callback: Callable[[str, R_co], object] | None = None,
        PROPAGATE_STATES: frozenset[str] = states.PROPAGATE_STATES,  # noqa: N803 - Celery's name
        **options: Any,
    ) -> R_co:
        """Return what the run returned, or raise what it raised.

        Nothing is waited for, so this is allowed inside tasks too. None when it ended in another state, such as RETRY.

        Args:
            timeout: has no effect, like all other arguments that `AsyncResult.get` takes for waiting.
            propagate: raise what the run raised, instead of returning the exception.
            callback: called with the id and the value before they are returned.
            PROPAGATE_STATES: the states whose exception is raised.
        """
        value = self._value
        if self.state in PROPAGATE_STATES:
            if propagate:
                raise value if isinstance(value, BaseException) else Exception(value)
        elif not self.successful():
            value = None
        if callback is not None:
            callback(self.id, value)
        return cast("R_co", value)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        follow_parents: bool = True,
        callback: Callable[[str, R_co], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Do what `get` does."""
        return self.get(propagate=propagate, callback=callback)

    async def aready(self) -> bool:
        """Say yes, as `ready` does."""
        return True

    def ready(self) -> bool:
        """Say yes: the run has ended, whatever its state is."""
        return True

    @property
    def result(self) -> Any:
        """What the run returned, or the exception that it ended with."""
        return self._value

    info = result

    def revoke(self, *args: Any, **options: Any) -> None:
        """Have `get` raise `TaskRevokedError` from now on. What the run returned or raised is forgotten.

        The run itself is over; nothing is undone.
        """
        self._value = TaskRevokedError("revoked")
        self._state = states.REVOKED
        self._text = None

    def cancel(self, reason: str | None = None, grace: float | None = None, *, by: str | None = None) -> None:
        """Have `get` raise `TaskCancelled` from now on, as `revoke` has it raise `TaskRevokedError`."""
        self._value = TaskCancelled(reason, by)
        self._state = states.REVOKED
        self._text = None

    def forget(self) -> None:
        """Do nothing: the result is kept nowhere but here."""

    async def aforget(self) -> None:
        """Do nothing, as `forget` does."""

    def exists(self) -> bool:
        """Say yes: the result is here."""
        return True

    @property
    def supports_native_join(self) -> bool:
        """Whether a backend can be asked for many such results at once: no."""
        return False

    def throw_if_known(self) -> None:
        """Raise what the run raised."""
        self.maybe_throw()

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> Any:
        """Raise what the run raised, or return what it returned."""
        return self.get(propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

    def is_known(self) -> bool:
        """Say yes: the run has ended."""
        return True

    @property
    def wants_record(self) -> bool:
        """Whether a record tells more than is known here: no."""
        return False

    async def _alook(self) -> Record:
        return self._look()

    def _look(self) -> Record:
        # Made anew each time: what a record holds is invisible to the garbage collector, and a traceback refers back.
        return Record(status=self._state, result=self._value, traceback=self._text, task_id=self.id, name=self._name)

    def __copy__(self) -> EagerResult[R_co]:
        kind, args = self.__reduce__()
        again: EagerResult[R_co] = kind(*args)
        return again

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return type(self), (self.id, self._value, self._state, self._text, self._name)
