"""Run one task body, and say what it came to as a value.

Nothing is published or stored from here: the outcome carries the record and the messages that follow, and the
supervisor settles them together with the delivery. So a run whose node lost its lease leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
import traceback
from types import TracebackType
from typing import Any, Final

from celeriac.app.application import Celery
from celeriac.app.context import Context, pop_context, push_context
from celeriac.app.task import Task
from celeriac.exceptions import DecodeError, EncodeError, NotRegistered, Retry
from celeriac.states import FAILURE, RETRY, SUCCESS
from celeriac.wire.protocol import TaskRequest, read_request
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.results import exception_map, write_record
from celeriac.wire.times import iso_text
from celeriac.worker.loops import fast_loop
from celeriac.worker.runs import Outcome, Run
from celeriac.worker.settle import failure_record, wants_result

logger: Final = logging.getLogger("celeriac.trace")

_TRACEBACK_MAX_CHARS: Final = 64 * 1024


class Executor:
    """Run bodies one after another in this thread.

    Args:
        app: its tasks are registered.
        hostname: the node's name, for `task.request`.
    """

    def __init__(self, app: Celery, hostname: str) -> None:
        self._tasks = app.tasks
        self._hostname = hostname
        self._zone = app.conf.zone
        self._limits = app.conf.limits
        self._accept = app.conf.accept
        self._form = app.conf.record_form
        self._runner: asyncio.Runner | None = None

    def close(self) -> None:
        """Cancel what coroutine tasks have left running in the background, and close their loop."""
        if self._runner is not None:
            self._runner.close()

    def execute(self, run: Run) -> Outcome:
        """Run the body that a message asks for. Never raises: whatever goes wrong is an outcome."""
        began = time.perf_counter()
        message = run.message
        try:
            request = read_request(message, limits=self._limits, accept=self._accept)
            task = self._task_for(request)
        except (DecodeError, NotRegistered) as exc:
            record = failure_record(message, exc, self._done_at(), form=self._form)
            reason = f"{type(exc).__name__}: {exc}"
            return Outcome(run.number, FAILURE, record, 0, time.perf_counter() - began, dead_reason=reason)
        context = Context.from_request(
            request,
            task=task,
            queue=message.queue,
            hostname=self._hostname,
            redelivered=run.redelivered,
            crashes=run.crashes,
        )
        token = push_context(context)
        try:
            state, record = self._run(task, request, context)
        finally:
            pop_context(token)
        return Outcome(
            run.number,
            state,
            record if wants_result(task, request.ignore_result) else None,
            request.retries,
            time.perf_counter() - began,
            tuple(context.following),
        )

    def _task_for(self, request: TaskRequest) -> Task[..., Any]:
        carried = [name for name in ("callbacks", "errbacks", "chain", "chord") if getattr(request, name)]
        if carried:
            raise DecodeError(
                f"message {request.id} of task {request.task!r} carries {', '.join(carried)}, which this version of "
                "celeriac does not run; replay it after an upgrade: celeriac dlq replay"
            )
        return self._tasks[request.task]

    def _run(self, task: Task[..., Any], request: TaskRequest, context: Context) -> tuple[str, bytes]:
        began = time.perf_counter()
        try:
            value = task.run(*request.args, **request.kwargs)
            if task.is_async or inspect.iscoroutine(value):  # the latter from a plain wrapper of a coroutine function
                value = self._await(value)
            record = self._record(context, SUCCESS, value)
        except Retry as exc:
            logger.info("Task %s[%s] retry: %s", task.name, request.id, exc)
            return RETRY, self._record(
                context, RETRY, exc.exc and exception_map(exc.exc, self._form), traceback=_text_of(exc.exc)
            )
        except BaseException as exc:  # noqa: BLE001 - it is recorded and logged, SystemExit too: a body ends its run only
            return FAILURE, self._failed(task, context, exc)
        if logger.isEnabledFor(logging.INFO):
            took = time.perf_counter() - began
            logger.info("Task %s[%s] succeeded in %ss: %s", task.name, request.id, took, bounded_repr(value))
        return SUCCESS, record

    def _await(self, coroutine: Any) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=fast_loop())
        return self._runner.run(coroutine, context=contextvars.copy_context())

    def _failed(self, task: Task[..., Any], context: Context, exc: BaseException) -> bytes:
        text = _text_of(exc)
        logger.error("Task %s[%s] raised unexpected: %r\n%s", task.name, context.id, exc, text)
        return self._record(context, FAILURE, exception_map(exc, self._form), traceback=text)

    def _record(self, context: Context, state: str, value: Any, *, traceback: str | None = None) -> bytes:
        try:
            return write_record(
                task_id=context.id or "",
                state=state,
                result=value,
                traceback=traceback,
                children=[child.as_tuple() for child in context.children],
                date_done=None if state == RETRY else self._done_at(),
                parent_id=context.parent_id,
                group_id=context.group,
                form=self._form,
            )
        except EncodeError as exc:
            raise EncodeError(
                f"the result of task {context.task!r} (id {context.id}) cannot be stored: {exc}"
            ) from None

    def _done_at(self) -> str:
        return iso_text(time.time(), zone=self._zone)


def _text_of(exc: BaseException | None) -> str | None:
    """Write a traceback as it would read had the body been called at home: without this file's frames."""
    if exc is None:
        return None
    inner: TracebackType | None = exc.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    return "".join(traceback.format_exception(type(exc), exc, inner))[-_TRACEBACK_MAX_CHARS:]
