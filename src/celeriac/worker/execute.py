"""Run what a message asks for, and say what it came to as a value.

Nothing is published or stored from here: the outcome carries the record and the messages that follow, and the
supervisor settles them together with the delivery. So a run whose node lost its lease leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any, Final

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.einfo import ExceptionInfo
from celeriac.app.events.task_events import told_failure, told_success
from celeriac.app.follow import after_failure, after_success, call_inline, check_following, errbacks_due
from celeriac.app.members import Members, reports
from celeriac.app.records import Recorder
from celeriac.app.signals import task_internal_error
from celeriac.app.starting import check_joins
from celeriac.app.task import Task
from celeriac.app.trace import Traced, Tracer, in_one_step
from celeriac.brokers.base import ResultMeta
from celeriac.brokers.joins import JoinEffects, together
from celeriac.exceptions import DecodeError, NotRegistered, Reject, Retry
from celeriac.message import Message
from celeriac.states import FAILURE, IGNORED, PROPAGATE_STATES, REJECTED, SUCCESS
from celeriac.wire.protocol import TaskRequest, read_request
from celeriac.wire.reprs import bounded_repr, told
from celeriac.worker.ends import error_of
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.loops import fast_loop
from celeriac.worker.runs import REJECTED_REASON, Outcome, Run
from celeriac.worker.settle import acks_failure, failure_record

_REASON_MAX_CHARS: Final = 4096
_UNSUCCESSFUL: Final = PROPAGATE_STATES | {IGNORED}
"""States in which a member fails its chord: one that raises `Ignore` must not have it wait for ever."""

logger: Final = logging.getLogger("celeriac.trace")


class Executor:
    """Run bodies one after another in this thread.

    Args:
        app: its tasks are registered.
        hostname: the node's name, for `task.request`.
        interrupts: learns which runs there are; None where nobody interrupts any.
    """

    is_eager = False

    def __init__(self, app: Celery, hostname: str, interrupts: Interrupts | None = None) -> None:
        self._app = app
        self._interrupts = interrupts
        self._tasks = app.tasks
        self._hostname = hostname
        self._limits = app.conf.limits
        self._accept = app.conf.accept
        self._form = app.conf.record_form
        self._recorder = Recorder(app.conf)
        self._members = Members(app, self._form)
        self._tracers: dict[str, Tracer] = {}
        self._runner: asyncio.Runner | None = None
        self._tells_begin = logger.isEnabledFor(logging.DEBUG)

    def close(self) -> None:
        """Cancel what coroutine tasks have left running in the background, and close their loop."""
        if self._runner is not None:
            self._runner.close()

    def execute(self, run: Run) -> Outcome:
        """Run the body that a message asks for. Never raises: whatever goes wrong is an outcome."""
        return in_one_step(self.run(run))

    async def run(self, run: Run) -> Outcome:
        """Do the same where runs are awaited."""
        began = time.perf_counter()
        message = run.message
        try:
            request = read_request(message, limits=self._limits, accept=self._accept)
            tracer = self.tracer_for(request)
        except (DecodeError, NotRegistered) as exc:
            reason = f"{type(exc).__name__}: {exc}"
            return Outcome(
                run.number,
                FAILURE,
                self._failure(message, exc),
                0,
                time.perf_counter() - began,
                dead_reason=reason,
                told=told_failure(exc, None) if run.is_watched else None,
            )
        context = Context.from_request(
            request,
            task=tracer.task,
            queue=message.queue,
            hostname=self._hostname,
            redelivered=run.redelivered,
            crashes=run.crashes,
        )
        if run.ended is not None:
            error = error_of(run.ended)
            await tracer.tell_of_end(context, run.ended.state, error, lambda: self._call_errbacks(context, error))
            return Outcome(run.number, run.ended.state, None, request.retries, 0.0)
        if self._tells_begin:
            logger.debug("Task accepted: %s[%s] pid:%r", request.task, request.id, os.getpid())
        if self._interrupts is not None:
            self._interrupts.begin(run.number, context)
        try:
            traced = await self.traced(tracer, context, request)
        except BaseException as exc:  # noqa: BLE001 - a child that dies of it would take the message for a crash
            traced = self._internal_error(run, context, exc)
        if self._interrupts is not None:
            self._interrupts.end(run.number)
        dead_reason, requeue = self._fate_of(tracer.task, traced)
        record = traced.record
        state = traced.state
        if state == REJECTED and not requeue:  # whoever waits for it must learn that nothing more comes
            state = FAILURE
            record = self._recorder.outcome(context, FAILURE, traced.value, None)
        took = time.perf_counter() - began
        return Outcome(
            run.number,
            state,
            record,
            request.retries,
            took,
            tuple(context.following),
            dead_reason,
            requeue,
            self._others(context, state, traced) if context.chain else (),
            self._joins(context, state, traced) if context.chord or context.chain or context.joins else None,
            _told(tracer.task, traced, took) if run.is_watched else None,
        )

    async def traced(self, tracer: Tracer, context: Context, request: TaskRequest) -> Traced:
        """Run one body."""
        return await tracer.trace(context, request.args, request.kwargs)

    def _others(self, context: Context, state: str, traced: Traced) -> tuple[ResultMeta, ...]:
        """Return the records of the steps that do not follow a run that has failed."""
        if state != FAILURE or not isinstance(traced.value, BaseException):
            return ()
        traceback = None if traced.einfo is None else traced.einfo.traceback
        return self._recorder.failed_steps(context, traced.value, traceback)

    def _joins(self, context: Context, state: str, traced: Traced) -> JoinEffects | None:
        """Return what the run does to joins: those of chords that it sends, and of one that it is a member of."""
        effects = together(context.joins)
        if state in _UNSUCCESSFUL and not context.is_replaced:
            error = traced.value if isinstance(traced.value, BaseException) else RuntimeError(repr(traced.value))
            shown = state if state in PROPAGATE_STATES else FAILURE
            members = self._members.failed(context, shown, error)
            if members:
                effects = together([*(context.joins or ()), JoinEffects(counts=members)])
        return effects

    def _internal_error(self, run: Run, context: Context, exc: BaseException) -> Traced:
        """Make a failure of what was raised around the body: by a receiver of a signal, or by an error in here."""
        context.following.clear()
        context.joins = None
        einfo = ExceptionInfo(exc)
        logger.critical(
            "Task %s[%s] failed by an error around its body: %s\n%s",
            context.task,
            context.id,
            bounded_repr(exc),
            einfo.traceback,
        )
        task_internal_error.send(
            sender=context.current,
            task_id=context.id,
            args=context.args,
            kwargs=context.kwargs,
            request=context,
            exception=exc,
            traceback=einfo.tb,
            einfo=einfo,
        )
        return Traced(FAILURE, exc, einfo, self._failure(run.message, exc))

    def _failure(self, message: Message, exc: BaseException) -> bytes:
        return failure_record(message, exc, self._recorder.done_at(), form=self._form)

    def _fate_of(self, task: Task[..., Any], traced: Traced) -> tuple[str | None, bool]:
        """Return why the message is a dead letter, if it is one, and whether it is to be delivered again."""
        if not task.acks_late:  # the run has been acked long since: there is nothing to refuse or to deliver again
            return None, False
        exc = traced.value
        if isinstance(exc, Reject) and traced.state == REJECTED:
            return (None, True) if exc.requeue else (f"{REJECTED_REASON}{_reason(exc)}", False)
        if traced.state == FAILURE and not acks_failure(task, exc):
            return told(exc), False
        return None, False

    def tracer_for(self, request: TaskRequest) -> Tracer:
        """Return what runs the bodies of the task that a request names.

        Raises:
            NotRegistered: there is no such task.
            DecodeError: the request asks for what cannot be done.
        """
        check_following(request.task, request)
        if request.chord:
            self._check_member(request)
        task = self._tasks[request.task]
        tracer = self._tracers.get(request.task)
        if tracer is None or tracer.task is not task:
            tracer = self._tracers[request.task] = Tracer(task, self)
        return tracer

    def _check_member(self, request: TaskRequest) -> None:
        try:
            check_joins(self._app)
        except NotImplementedError as exc:
            raise DecodeError(
                f"message {request.id} of task {request.task!r} is the member of a chord: {exc}; replay it then: "
                "celeriac dlq replay"
            ) from None

    # -- the surroundings of a run ------------------------------------------------------------------------------

    def record(self, context: Context, state: str, value: Any, traceback: str | None) -> bytes | None:
        """Return the record that is to be settled with the run."""
        return self._recorder.outcome(context, state, value, traceback)

    def follow_success(self, context: Context, value: Any) -> None:
        """Have the callbacks published with the outcome."""
        if context.callbacks or context.chain:
            context.following.extend(after_success(context, value, sender=self._app.sender))
        if reports(context):
            context.note_joins(JoinEffects(counts=(self._members.succeeded(context, value),)))

    async def _call_errbacks(self, context: Context, exc: BaseException) -> None:
        """Call the errbacks that are to be told more than an id, of a run that others have settled."""
        _, inline = errbacks_due(context, app=self._app)
        await call_inline(inline, context, exc, None, wait_for=self.wait_for)

    async def follow_failure(self, context: Context, exc: BaseException, traceback: str) -> None:
        """Have errbacks published with the outcome, and call those that are to be told more than an id."""
        messages, inline = after_failure(context, exc, app=self._app)
        context.following.extend(messages)
        await call_inline(inline, context, exc, traceback, wait_for=self.wait_for)

    async def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, in the loop that all coroutines of this process share."""
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=fast_loop())
        return self._runner.run(coroutine, context=contextvars.copy_context())


def _told(task: Task[..., Any], traced: Traced, took: float) -> str | None:
    """Write what an event tells of a run."""
    exc = traced.value
    if traced.state == SUCCESS:
        return told_success(exc, took, limit=task.resultrepr_maxsize)
    if not isinstance(exc, BaseException):
        return None
    if isinstance(exc, Retry) and exc.exc is not None:
        exc = exc.exc
    return told_failure(exc, None if traced.einfo is None else traced.einfo.traceback)


def _reason(reject: Reject) -> str:
    reason = reject.reason
    return reason if isinstance(reason, str) and len(reason) <= _REASON_MAX_CHARS else bounded_repr(reason)
