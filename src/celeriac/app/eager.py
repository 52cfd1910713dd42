"""Run tasks in the calling process: `Task.apply`, and every call while `task_always_eager` is set."""

from __future__ import annotations

import contextvars
import socket
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac.app.context import Context, current_context
from celeriac.app.eager_result import EagerResult
from celeriac.app.follow import call_inline, callbacks_due, errbacks_due, next_step
from celeriac.app.joining import denied_join_result
from celeriac.app.options import CallOptions
from celeriac.app.records import Recorder
from celeriac.app.replacing import Replaced
from celeriac.app.retrying import EagerRetry
from celeriac.app.trace import Traced, Tracer, in_one_step
from celeriac.brokers.base import ResultMeta
from celeriac.canvas.chain import Chain
from celeriac.canvas.signature import Signature
from celeriac.ids import new_id
from celeriac.states import EXCEPTION_STATES, RETRY
from celeriac.wire.protocol import read_request
from celeriac.wire.serializers import Accept

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task


class Eager:
    """Apply the tasks of one app here and now. Retries follow at once, whatever their delay."""

    is_eager = True

    def __init__(self, app: Celery) -> None:
        self._app = app

    def apply(
        self,
        task: Task[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        *,
        task_id: str | None = None,
        retries: int = 0,
        throw: bool | None = None,
        link: Any = None,
        link_error: Any = None,
    ) -> EagerResult[Any]:
        """Run a task, and every attempt that it asks for; arguments are not serialized."""
        if not self._app.finalized:
            self._app.finalize(auto=True)
        said = {name: value for name, value in options.items() if value is not None}
        run_id = task_id or new_id()
        outer = current_context() or Context()
        context = Context(
            id=run_id,
            task=task.name,
            args=args,
            kwargs=kwargs,
            retries=retries,
            is_eager=True,
            called_directly=False,
            hostname=socket.gethostname(),
            logfile=said.get("logfile"),
            loglevel=said.get("loglevel"),
            headers=dict(said.get("headers") or {}),
            callbacks=_listed(link),
            errbacks=_listed(link_error),
            ignore_result=said.get("ignore_result", task.ignore_result),
            stamped_headers=_listed(said.get("stamped_headers")),
            stamps={name: _values(said.get(name)) for name in _listed(said.get("stamped_headers")) or ()},
            shadow=said.get("shadow"),
            chain=said.get("chain"),
            group=said.get("group_id"),
            group_index=said.get("group_index"),
            root_id=said.get("root_id") or outer.root_id or outer.id or run_id,
            parent_id=said.get("parent_id") or outer.id,
            delivery_info={
                "is_eager": True,
                "exchange": said.get("exchange"),
                "routing_key": said.get("routing_key"),
                "priority": said.get("priority"),
            },
            current=task,
        )
        return self._run(task, context, throw)

    def apply_async(
        self,
        task: Task[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        *,
        task_id: str | None = None,
    ) -> EagerResult[Any]:
        """Run a call that would have been sent: its message is written and read, so that the same errors show."""
        message = self._app.builder.build(task, args, kwargs, options, task_id=task_id)
        request = read_request(
            message,
            limits=self._app.conf.limits,
            accept=Accept.of([message.content_type], pickle_queues=[message.queue]),
        )
        context = Context.from_request(request, task=task, queue=message.queue, hostname=socket.gethostname())
        context.is_eager = True
        context.delivery_info["is_eager"] = True
        with denied_join_result():
            return self._run(task, context, None)

    async def aapply_async(
        self,
        task: Task[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: CallOptions,
        *,
        task_id: str | None = None,
    ) -> EagerResult[Any]:
        """Do the same in a thread: a coroutine task has a loop of its own, which this thread has already."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        return await asyncio.to_thread(self.apply_async, task, args, kwargs, options, task_id=task_id)

    def _run(self, task: Task[..., Any], context: Context, throw: bool | None) -> EagerResult[Any]:
        throw = self._app.conf.task_eager_propagates if throw is None else throw
        tracer = Tracer(task, self)
        while True:
            traced = in_one_step(tracer.trace(context, context.args, context.kwargs, throw=throw))
            if isinstance(traced.value, Replaced):
                result: EagerResult[Any] = traced.value.result
                return result
            self._store(task, context, traced)
            again = context.eager_retry
            if traced.state != RETRY or again is None:
                return _result_of(task, context, traced)
            context = _next_attempt(context, again)

    def _store(self, task: Task[..., Any], context: Context, traced: Traced) -> None:
        backend = self._app.backend
        if traced.record is not None and backend is not None:
            meta = ResultMeta(
                task_id=context.id or "", state=traced.state, record=traced.record, retries=context.retries
            )
            backend.store([meta])

    # -- the surroundings of a run ------------------------------------------------------------------------------

    def record(self, context: Context, state: str, value: Any, traceback: str | None) -> bytes | None:
        """Return the record, when results of eager runs are to be stored (`task_store_eager_result`)."""
        task = context.current
        if task is None or not task.store_eager_result:
            return None
        return Recorder(self._app.conf).outcome(context, state, value, traceback)

    def follow_success(self, context: Context, value: Any) -> None:
        """Call the callbacks: with `task_always_eager` they run here too, else they are sent."""
        for callback in callbacks_due(context, value, app=self._app):
            callback.apply_async()
        step = next_step(context, app=self._app)
        if step is not None:
            plan_here = step[0].apply if self._app.conf.task_always_eager else step[0].apply_async
            plan_here((value,), None, **step[1])

    def fail(self, call: Signature[Any], task_id: str, error: BaseException) -> None:
        """Call the errbacks of a call that does not run, because what it waited for has failed."""
        errbacks = _listed(call.options.get("link_error"))
        if not errbacks and isinstance(call, Chain):
            errbacks = _listed(call.tasks[0].options.get("link_error"))
        context = Context(id=task_id, task=call.task, errbacks=errbacks, is_eager=True, called_directly=False)
        if errbacks:
            in_one_step(self.follow_failure(context, error, f"{type(error).__name__}: {error}\n"))

    async def follow_failure(self, context: Context, exc: BaseException, traceback: str) -> None:
        """Call the errbacks: here."""
        errbacks, inline = errbacks_due(context, app=self._app)
        await call_inline(inline, context, exc, traceback, wait_for=self.wait_for)
        for errback in errbacks:
            errback.apply()

    async def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end: in a thread of its own where this one has a running loop already."""
        import asyncio  # 30 ms that programs without coroutines need not wait for

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            in_loop = False
        else:
            in_loop = True
        # Not in the `except` above: what the body raises would be said to come from there.
        return _in_thread(asyncio.run, coroutine) if in_loop else asyncio.run(coroutine)


def _in_thread(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function in another thread, in this thread's context; return or raise what it does."""
    from concurrent.futures import ThreadPoolExecutor  # likewise

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="celeriac-eager") as pool:
        return pool.submit(contextvars.copy_context().run, function, argument).result()


def _next_attempt(context: Context, again: EagerRetry) -> Context:
    following = msgspec.structs.replace(
        context,
        args=again.args,
        kwargs=again.kwargs,
        retries=context.retries + 1,
        eager_retry=None,
        children=[],
        following=[],
    )
    headers = again.options.get("headers")
    if headers is not None:
        following.headers = dict(headers)
    return following


def _result_of(task: Task[..., Any], context: Context, traced: Traced) -> EagerResult[Any]:
    text = traced.einfo.traceback if traced.einfo is not None and traced.state in EXCEPTION_STATES else None
    return EagerResult(context.id or "", traced.value, traced.state, traceback=text, name=task.name)


def _values(stamp: Any) -> Any:
    """Return the values of a stamp as `apply` has them in Celery: any collection as it is, others as a list of one."""
    if stamp is None:
        return []
    return stamp if isinstance(stamp, Collection) and not isinstance(stamp, (str, bytes, Mapping)) else [stamp]


def _listed(signatures: Any) -> list[Any] | None:
    if signatures is None:
        return None
    return list(signatures) if isinstance(signatures, (list, tuple)) else [signatures]
