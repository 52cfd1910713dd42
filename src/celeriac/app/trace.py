"""Run one body, with all that is promised around it: hooks, signals, retries, log lines, in Celery's order.

What the run came to is returned as a value. Storing and publishing are the caller's: a worker settles them together
with the delivery, a task that is applied in the caller's process has little of them.

The tracer is one coroutine, for all pools and for eager runs. It waits for nothing itself: what there is to wait for
goes through `Surroundings.wait_for`. Where one body runs at a time that waits without suspending, and the whole run is
one step (`in_one_step`); where many coroutines run in one loop, each run is awaited.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from celeriac.app.context import Context, pop_context, push_context
from celeriac.app.einfo import ExceptionInfo
from celeriac.app.guard import guarded, interruptible
from celeriac.app.redirecting import flush_output
from celeriac.app.retrying import automatic_retry
from celeriac.app.signals import task_failure, task_postrun, task_prerun, task_retry, task_success
from celeriac.app.task import Task
from celeriac.exceptions import Ignore, Reject, Retry, TaskCancelled
from celeriac.states import FAILURE, IGNORED, REJECTED, RETRY, REVOKED, SUCCESS
from celeriac.wire.reprs import bounded_repr

logger: Final = logging.getLogger("celeriac.trace")

# Formats of the log lines, as in Celery: assign others to change what is logged. Each may name `id`, `name` and what is
# in its line here; a receiver or a module of tasks may do so while it is imported.
LOG_RECEIVED = "Task %(name)s[%(id)s] received"
LOG_SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss: %(return_value)s"
LOG_FAILURE = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_INTERNAL_ERROR = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_IGNORED = "Task %(name)s[%(id)s] %(description)s"
LOG_REJECTED = "Task %(name)s[%(id)s] %(description)s: %(exc)s"
LOG_RETRY = "Task %(name)s[%(id)s] retry: %(exc)s"

_T = TypeVar("_T")

_EXCEPTION_MAX_CHARS: Final = 64 * 1024

_GOES_ON: Final = frozenset({IGNORED, REJECTED, RETRY})


class Traced(msgspec.Struct, frozen=True):
    """Say what a run came to.

    Attributes:
        value: what the body returned, or the exception that ended it.
        einfo: about that exception.
        record: what `Surroundings.record` made of it.
    """

    state: str
    value: Any
    einfo: ExceptionInfo | None = None
    record: bytes | None = None


class Surroundings(Protocol):
    """Be what a run happens in: a child of a worker, or the program that applies a task itself."""

    is_eager: bool

    def record(self, context: Context, state: str, value: Any, traceback: str | None) -> bytes | None:
        """Return the record of a run, or None when none is kept; `EncodeError` fails a run that has succeeded."""

    def follow_success(self, context: Context, value: Any) -> None:
        """See to what follows a run that returned."""

    async def follow_failure(self, context: Context, exc: BaseException, traceback: str) -> None:
        """See to what follows a run that raised."""

    async def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end. Suspends only where runs are awaited."""


def in_one_step(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never suspends to its end, without an event loop.

    Raises:
        RuntimeError: it suspended; it was closed.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: _T = end.value
        return value
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} suspended where there is no event loop to go on with it; it was closed")


class Tracer:
    """Run the bodies of one task.

    What costs nothing is not looked at again for each run: which hooks the task has is found out once.
    """

    def __init__(self, task: Task[..., Any], surroundings: Surroundings) -> None:
        self.task = task
        self._surroundings = surroundings
        self._calls_task = _has_own(task, "__call__")
        self._body: Callable[..., Any] = task if self._calls_task else task.run
        self._before_start = _hook(task, "before_start")
        self._on_success = _hook(task, "on_success")
        self._on_failure = _hook(task, "on_failure")
        self._on_retry = _hook(task, "on_retry")
        self._on_cancel = _hook(task, "on_cancel")
        self._after_return = _hook(task, "after_return")

    async def trace(
        self, context: Context, args: Sequence[Any], kwargs: Mapping[str, Any], *, throw: bool = False
    ) -> Traced:
        """Run the body once.

        Args:
            context: the run; its `following` gets the messages that its outcome publishes.
            throw: raise what the body raises, `Retry` too, instead of ending the run with it.
        """
        task = self.task
        context.awaits_body = self._calls_task
        token = push_context(context)
        ended = None
        try:
            if task_prerun.receivers:
                task_prerun.send(sender=task, task_id=context.id, task=task, args=args, kwargs=kwargs)
            ended = await self._run(context, args, kwargs, throw)
            if self._after_return is not None and ended.state not in _GOES_ON:
                await self._call(
                    context, self._after_return, ended.state, ended.value, context.id, args, kwargs, ended.einfo
                )
            return ended
        finally:
            try:
                self._tell_of_the_end(context, args, kwargs, ended)
                flush_output()
            finally:
                pop_context(token)

    def _tell_of_the_end(
        self, context: Context, args: Sequence[Any], kwargs: Mapping[str, Any], ended: Traced | None
    ) -> None:
        if task_postrun.receivers:
            task_postrun.send(
                sender=self.task,
                task_id=context.id,
                task=self.task,
                args=args,
                kwargs=kwargs,
                retval=ended and ended.value,
                state=ended and ended.state,
            )

    async def _run(self, context: Context, args: Sequence[Any], kwargs: Mapping[str, Any], throw: bool) -> Traced:
        began = time.perf_counter()
        try:
            if self._before_start is not None:
                await self._finish(self._before_start(context.id, args, kwargs))
            value = guarded(context, self._body, args, kwargs)
            if self.task.is_async or inspect.iscoroutine(value):  # the latter from a plain wrapper of a coroutine one
                value = await self._surroundings.wait_for(interruptible(value, context))
            following, joins = len(context.following), context.joins
        except BaseException as exc:  # noqa: BLE001 - SystemExit too: a body ends its run only
            if context.cancelled is not None:
                return await self._cancelled(context, context.cancelled, args, kwargs)
            return await self._ended_by(context, exc, args, kwargs, throw)
        if context.cancelled is not None:
            return await self._cancelled(context, context.cancelled, args, kwargs)
        try:
            if context.callbacks or context.chain or context.chord:
                self._surroundings.follow_success(context, value)
            record = self._surroundings.record(context, SUCCESS, value, None)
        except Exception as exc:
            del context.following[following:]
            context.joins = joins
            if throw:
                raise
            return await self._failed(context, exc, args, kwargs)
        took = time.perf_counter() - began
        if self._on_success is not None:
            await self._call(context, self._on_success, value, context.id, args, kwargs)
        if task_success.receivers:
            task_success.send(sender=self.task, result=value, runtime=took)
        if logger.isEnabledFor(logging.INFO):
            shown = bounded_repr(value, limit=self.task.resultrepr_maxsize)
            self._log(logging.INFO, LOG_SUCCESS, context, runtime=took, return_value=shown)
        return Traced(SUCCESS, value, None, record)

    async def _ended_by(
        self, context: Context, exc: BaseException, args: Sequence[Any], kwargs: Mapping[str, Any], throw: bool
    ) -> Traced:
        if self._surroundings.is_eager and not isinstance(exc, Exception):
            raise exc
        if not isinstance(exc, (Ignore, Reject, Retry)):
            exc = self._tried_again(context, exc)
        match exc:
            case Ignore():
                self._log(logging.INFO, LOG_IGNORED, context, description="ignored")
                return Traced(IGNORED, exc, ExceptionInfo(exc, internal=True))
            case Reject():
                self._log(logging.WARNING, LOG_REJECTED, context, description="rejected", exc=_shown(exc))
                return Traced(REJECTED, exc, ExceptionInfo(exc, internal=True))
        if throw:
            raise exc
        if isinstance(exc, Retry):
            return await self._retried(context, exc, args, kwargs)
        return await self._failed(context, exc, args, kwargs)

    def _tried_again(self, context: Context, exc: BaseException) -> BaseException:
        """Return what ends the run instead of `exc`: a `Retry` when the task asks for one, and has any left."""
        said = automatic_retry(self.task, context, exc) if self.task.autoretry_for else None
        if said is None:
            return exc
        try:
            return self.task.retry(**said, throw=False)
        except BaseException as instead:  # noqa: BLE001 - `exc` itself after too many, or what is wrong with retry_kwargs
            return instead

    async def _retried(self, context: Context, exc: Retry, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Traced:
        einfo = ExceptionInfo(exc)
        # A reason that was never raised has no traceback.
        shown = einfo if exc.exc is None or exc.exc.__traceback__ is None else ExceptionInfo(exc.exc)
        record = self._surroundings.record(context, RETRY, exc.exc, shown.traceback)
        if self._on_retry is not None:
            await self._call(context, self._on_retry, exc.exc, context.id, args, kwargs, einfo)
        if task_retry.receivers:
            task_retry.send(sender=self.task, request=context, reason=exc, einfo=einfo)
        self._log(logging.INFO, LOG_RETRY, context, exc=str(exc))
        return Traced(RETRY, exc, einfo, record)

    async def _failed(
        self, context: Context, exc: BaseException, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Traced:
        einfo = ExceptionInfo(exc)
        if context.errbacks:
            try:
                await self._surroundings.follow_failure(context, exc, einfo.traceback)
            except Exception:
                logger.exception("the errbacks of task %s[%s] could not be called", self._name(context), context.id)
        record = self._surroundings.record(context, FAILURE, exc, einfo.traceback)
        if self._on_failure is not None:
            await self._call(context, self._on_failure, exc, context.id, args, kwargs, einfo)
        if task_failure.receivers:
            task_failure.send(
                sender=self.task,
                task_id=context.id,
                exception=exc,
                args=args,
                kwargs=kwargs,
                traceback=einfo.tb,
                einfo=einfo,
            )
        expected = isinstance(exc, self.task.throws)
        self._log(
            logging.INFO if expected else logging.ERROR,
            LOG_FAILURE,
            context,
            exc_info=None if expected else einfo.exc_info,
            description="raised expected" if expected else "raised unexpected",
            exc=_shown(exc),
            traceback=einfo.traceback,
        )
        return Traced(FAILURE, exc, einfo, record)

    async def _cancelled(
        self, context: Context, exc: TaskCancelled, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Traced:
        """End a run whose body was told that it is cancelled, whatever the body has made of that."""
        einfo = ExceptionInfo(exc)
        context.following.clear()
        context.joins = None
        record = self._surroundings.record(context, REVOKED, exc, None)
        if self._on_cancel is not None:
            await self._call(context, self._on_cancel, exc, context.id, args, kwargs, einfo)
        logger.info("Task %s[%s] %s", self._name(context), context.id, exc)
        return Traced(REVOKED, exc, einfo, record)

    async def tell_of_end(
        self, context: Context, state: str, exc: Exception, call_errbacks: Callable[[], Awaitable[None]]
    ) -> None:
        """Call what is to be called about a run whose process was killed, or died: it was settled without this.

        Args:
            call_errbacks: calls those that are told more than an id; the others were sent.
        """
        token = push_context(context)
        try:
            if state == FAILURE and context.errbacks:
                await call_errbacks()
            await self._call_after_end(context, state, exc)
        except Exception:
            logger.exception("what follows the end of task %s[%s] failed", self._name(context), context.id)
        finally:
            flush_output()
            pop_context(token)

    async def _call_after_end(self, context: Context, state: str, exc: Exception) -> None:
        args, kwargs = context.args, context.kwargs
        einfo = ExceptionInfo(exc)
        if state == FAILURE:
            if self._on_failure is not None:
                await self._call(context, self._on_failure, exc, context.id, args, kwargs, einfo)
            if task_failure.receivers:
                task_failure.send(
                    sender=self.task,
                    task_id=context.id,
                    exception=exc,
                    args=args,
                    kwargs=kwargs,
                    traceback=None,
                    einfo=einfo,
                )
        elif self._on_cancel is not None and isinstance(exc, TaskCancelled):
            await self._call(context, self._on_cancel, exc, context.id, args, kwargs, None)
        if self._after_return is not None:
            await self._call(context, self._after_return, state, exc, context.id, args, kwargs, None)

    async def _call(self, context: Context, hook: Callable[..., Any], *args: Any) -> None:
        """Call a hook that comes after the outcome: what it raises, SystemExit too, is logged and changes nothing."""
        try:
            await self._finish(hook(*args))
        except BaseException:
            if self._surroundings.is_eager:
                raise
            logger.exception("%s of task %s[%s] raised", hook.__name__, self._name(context), context.id)

    async def _finish(self, value: Any) -> None:
        """Wait for a hook that is a coroutine."""
        if inspect.iscoroutine(value):
            await self._surroundings.wait_for(value)

    def _name(self, context: Context) -> str:
        return context.shadow or self.task.name

    def _log(self, level: int, line: str, context: Context, *, exc_info: Any = None, **said: Any) -> None:
        """Log a line about a run; handlers find what is in it as `record.data`, as in Celery."""
        if logger.isEnabledFor(level):
            data = {"id": context.id, "name": self._name(context), "hostname": context.hostname, **said}
            logger.log(level, line, data, exc_info=exc_info, extra={"data": data})


def _shown(exc: BaseException) -> str:
    """Show an exception in a line of the log; `logging` would raise again what some reprs raise."""
    return bounded_repr(exc, limit=_EXCEPTION_MAX_CHARS)


def _hook(task: Task[..., Any], name: str) -> Callable[..., Any] | None:
    return getattr(task, name) if _has_own(task, name) else None


def _has_own(task: Task[..., Any], name: str) -> bool:
    """Say whether a task overrides what `Task` has under a name."""
    return name in vars(task) or getattr(type(task), name) is not getattr(Task, name)
