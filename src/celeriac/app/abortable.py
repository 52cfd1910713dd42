"""Tasks that look whether they are to stop (`celeriac.contrib.abortable`, as Celery has it).

Whoever wants a run to stop stores the state ABORTED; a body that asks for it now and then finds it there. To have an
exception raised in the body instead, and have it ended when it takes too long, there is `AsyncResult.cancel`.
"""

from __future__ import annotations

from typing import Any, Final, ParamSpec, TypeVar

from celeriac.app.result import AsyncResult as Result
from celeriac.app.task import Task
from celeriac.brokers.base import ResultMeta
from celeriac.wire.results import write_record

ABORTED: Final = "ABORTED"

P = ParamSpec("P")
R = TypeVar("R")


class AbortableAsyncResult(Result[R]):
    """Be the result of a run that can be asked to stop."""

    def is_aborted(self) -> bool:
        """Say whether the run was asked to stop, and has not ended since."""
        return self.state == ABORTED

    def abort(self) -> None:
        """Ask the run to stop. Whether it does, and when, is for its body; one that has ended is left alone.

        Raises:
            ResultBackendDisabled: results are kept nowhere.
            OperationalError: the backend cannot be reached.
        """
        backend = self.backend
        stored = backend.get(self.id)
        record = write_record(
            task_id=self.id, state=ABORTED, result=None, date_done=None, form=self.app.conf.record_form
        )
        retries = 0 if stored is None else stored.retries
        backend.note([ResultMeta(task_id=self.id, state=ABORTED, record=record, retries=retries)])


class AbortableTask(Task[P, R]):
    """Be the base of tasks whose bodies ask `self.is_aborted()` now and then.

    ``@app.task(bind=True, base=AbortableTask)``. Each question costs a look into the result backend.
    """

    abstract = True

    def AsyncResult(self, task_id: str, **options: Any) -> AbortableAsyncResult[R]:
        return AbortableAsyncResult(task_id, app=self.app, **options)

    def is_aborted(self, *, task_id: str | None = None) -> bool:
        """Say whether this run was asked to stop, or was cancelled.

        Args:
            task_id: another run than this one.
        """
        if task_id is None and self.request.is_cancelled:
            return True
        wanted = task_id or self.request.id
        return wanted is not None and self.AsyncResult(wanted).is_aborted()

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AbortableAsyncResult[R]:
        result: AbortableAsyncResult[R] = self._apply_async(args, kwargs, {})
        return result

    def _apply_async(self, *args: Any, **options: Any) -> Any:
        return _abortable(super()._apply_async(*args, **options))

    async def _aapply_async(self, *args: Any, **options: Any) -> Any:
        return _abortable(await super()._aapply_async(*args, **options))


def _abortable(result: Result[R]) -> Result[R]:
    if type(result) is not Result:  # of a run that has happened here
        return result
    return AbortableAsyncResult(result.id, app=result.app, parent=result.parent, ignored=result.ignored)
