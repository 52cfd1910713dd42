"""The record of a run: what of it is kept, and how it is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.app.hiding import shown_arguments
from celeriac.app.result_tree import ResultBase
from celeriac.brokers.base import ResultMeta
from celeriac.canvas.frozen import frozen_ids
from celeriac.exceptions import EncodeError
from celeriac.states import EXCEPTION_STATES, FAILURE, RETRY, SUCCESS
from celeriac.wire.forms import RecordForm
from celeriac.wire.results import exception_map, write_record
from celeriac.wire.times import iso_text

if TYPE_CHECKING:
    from celeriac.app.config import Settings
    from celeriac.app.context import Context
    from celeriac.app.task import Task


class Recorder:
    """Write the records of runs as the settings of one moment say."""

    def __init__(self, conf: Settings) -> None:
        self._zone = conf.zone
        self._form = conf.record_form
        self._extended = conf.result_extended

    def outcome(self, context: Context, state: str, value: Any, traceback: str | None) -> bytes | None:
        """Return the record of what a run came to; None when nobody wants it.

        Args:
            value: what was returned, or an exception, or None.

        Raises:
            EncodeError: a returned value cannot be carried; the text names the task.
        """
        task = context.current
        if not wants_result(task, context.ignore_result) and not (
            state in EXCEPTION_STATES and task is not None and task.store_errors_even_if_ignored
        ):
            return None
        if isinstance(value, ResultBase):
            value = value.as_tuple()
        if isinstance(value, BaseException) and state != SUCCESS:
            value = exception_map(value, self._form)
        done_at = None if state == RETRY else self.done_at()
        try:
            return self.state(context, state, value, traceback=traceback, done_at=done_at)
        except EncodeError:
            if state == SUCCESS:
                raise
            # Arguments that this serializer cannot write must not hide why the run failed.
            unsaid = {"args": None, "kwargs": None}
            return self.state(context, state, value, traceback=traceback, done_at=done_at, more=unsaid)

    def state(
        self,
        context: Context,
        state: str,
        value: Any,
        *,
        traceback: str | None = None,
        done_at: str | None = None,
        task_id: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the record of any state of a run."""
        extended = {**self._extension(context), **(more or {})} if self._extended else more
        if isinstance(value, BaseException) and state in EXCEPTION_STATES:
            value = exception_map(value, self._form)
        try:
            return write_record(
                task_id=task_id or context.id or "",
                state=state,
                result=value,
                traceback=traceback,
                children=[child.as_tuple() for child in context.children],
                date_done=done_at,
                parent_id=context.parent_id,
                group_id=context.group,
                extended=extended,
                form=self._form,
            )
        except EncodeError as exc:
            raise EncodeError(
                f"the result of task {context.task!r} (id {task_id or context.id}) cannot be stored: {exc}"
            ) from None

    def failed_steps(self, context: Context, error: BaseException, traceback: str | None) -> tuple[ResultMeta, ...]:
        """Return the records of the steps that would have followed a run that failed: they have failed likewise."""
        return failed_steps(context.chain, error, traceback, self.done_at(), form=self._form)

    def done_at(self) -> str:
        """Return the time of now as records write it."""
        return iso_text(time.time(), zone=self._zone)

    def _extension(self, context: Context) -> dict[str, Any]:
        args, kwargs = shown_arguments(context.current, context.args, context.kwargs)
        extension: dict[str, Any] = {
            "name": context.task,
            "args": args,
            "kwargs": kwargs,
            "worker": context.hostname,
            "retries": context.retries,
            "queue": context.delivery_info.get("routing_key"),
        }
        if context.stamps:
            extension |= {"stamped_headers": context.stamped_headers, **context.stamps}
        return extension


def failed_steps(
    chain: Any, error: BaseException, traceback: str | None, done_at: str, *, form: RecordForm, state: str = FAILURE
) -> tuple[ResultMeta, ...]:
    """Return the records of the steps of a chain that are never sent, for those who wait for one of them.

    Args:
        chain: the steps as a message carries them, or None.
        error: what ended the step before them.
        traceback: its text, or None.
        done_at: the time of now, as records write it.
        state: the state that it ended in.
    """
    ids = [id for step in chain or () if isinstance(step, dict) for id in frozen_ids(step)]
    if not ids:
        return ()
    shown = exception_map(error, form)
    return tuple(
        ResultMeta(
            task_id=id,
            state=state,
            record=write_record(
                task_id=id, state=state, result=shown, traceback=traceback, date_done=done_at, form=form
            ),
        )
        for id in ids
    )


def wants_result(task: Task[..., Any] | None, ignore_result: bool | None) -> bool:
    """Say whether the result of a run is to be stored: what the message says decides, else its task."""
    if ignore_result is not None:
        return not ignore_result
    return task is None or not task.ignore_result
