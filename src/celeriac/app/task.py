"""A task: called in place, or sent to run elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from datetime import datetime
from importlib import import_module
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar, Unpack, cast

from celeriac.app.adding import add_to_chord
from celeriac.app.arguments import arguments_of
from celeriac.app.calling import Calling
from celeriac.app.context import Context as Context  # imported from here by programs, as in Celery
from celeriac.app.context import RequestStack, context_of, current_context, leave_context, push_context
from celeriac.app.current import apps_named, current_app
from celeriac.app.hiding import shown_arguments
from celeriac.app.joining import allow_join_result
from celeriac.app.missing import missing_of_task, refuse_internals
from celeriac.app.options import MessageOptions
from celeriac.app.replacing import Replaced, replacement_of, stamps_of
from celeriac.app.result import AsyncResult as Result
from celeriac.app.retrying import EagerRetry, arguments_of_retry
from celeriac.app.telling import tell_of_run
from celeriac.exceptions import Ignore, MaxRetriesExceededError, Retry, TaskCancelled
from celeriac.wire.reprs import bounded_repr

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.calls import Defaults
    from celeriac.app.einfo import ExceptionInfo
    from celeriac.app.pydantic_tasks import Models
    from celeriac.brokers.topology import Exchange, Queue
    from celeriac.canvas.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class _FromSetting:
    """Give a task what a setting says, for as long as the task says nothing itself.

    Not a data descriptor: an attribute of the instance, or of a subclass, hides it.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def __get__(self, task: Task[..., Any] | None, owner: object) -> Any:
        return self if task is None else getattr(task.app.conf, self._setting)


class _CurrentApp:
    """Give a class that no app has taken yet the app that is meant where none is named."""

    def __get__(self, task: object, owner: object) -> Celery:
        return current_app()


class _AppGetter:
    """Be `_get_app`, private by its name only: libraries call it, of tasks and of their classes, as in Celery."""

    def __get__(self, task: Task[..., Any] | None, owner: type[Task[..., Any]]) -> Callable[[], Celery]:
        return lambda: owner.app if task is None else task.app


def _setting(name: str) -> Any:
    return _FromSetting(name)


class Task(Calling[P, R]):
    """Be a task that workers can run: the class behind ``@app.task``, and the base of classes of users.

    Such a class says its options as attributes (see `TaskOptions`), its body as `run`, and is made a task by
    `Celery.register_task`, or used as ``@app.task(base=...)``. Each task has one instance in each process: what
    `__init__` sets up is kept from run to run.

    Attributes:
        app: whose task it is.
        name: what messages call it.
        is_async: the body is a coroutine function, or an object with such a `__call__`.
        origin: where the body is defined.
    """

    MaxRetriesExceededError: ClassVar = MaxRetriesExceededError

    if TYPE_CHECKING:
        app: Celery
    else:
        app = _CurrentApp()
    name: str = cast("str", None)
    is_async: bool = False
    origin: str = ""
    abstract: bool = True  # nothing goes by it: programs that were written for Celery say it of their base classes

    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    throws: tuple[type[BaseException], ...] = ()
    expires: float | datetime | str | None = None
    queue: Queue | str | None = None
    exchange: Exchange | str | None = None
    exchange_type: str | None = None
    routing_key: str | None = None
    mandatory: bool | None = None
    delivery_mode: int | str | None = None
    compression: str | None = _setting("task_compression")
    serializer: str = _setting("task_serializer")
    typing: bool | None = None
    acks_late: bool = _setting("task_acks_late")
    acks_on_failure_or_timeout: bool = _setting("task_acks_on_failure_or_timeout")
    acks_on_failure: bool | None = _setting("task_acks_on_failure")
    acks_on_timeout: bool | None = _setting("task_acks_on_timeout")
    reject_on_worker_lost: bool | None = _setting("task_reject_on_worker_lost")
    retry_on_worker_lost: bool = _setting("task_retry_on_worker_lost")
    ignore_result: bool = _setting("task_ignore_result")
    store_errors_even_if_ignored: bool = _setting("task_store_errors_even_if_ignored")
    store_eager_result: bool = _setting("task_store_eager_result")
    track_started: bool = _setting("task_track_started")
    send_events: bool = True
    trail: bool = True
    priority: int | None = _setting("task_default_priority")
    sensitive: tuple[str, ...] | bool = ()
    resultrepr_maxsize: int = 1024
    # What the settings say of limits counts where the task runs; messages carry what the task itself says.
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rate_limit: str | float | None = _setting("task_default_rate_limit")
    rate_limit_scope: str = "node"
    concurrency_limit: int | None = None
    concurrency_key: Any = None
    unique_for: float | None = None
    unique_key: Any = None
    on_conflict: str | None = None
    pydantic: bool = False
    pydantic_strict: bool | None = None
    pydantic_context: Mapping[str, Any] | None = None
    pydantic_dump_kwargs: Mapping[str, Any] | None = None
    strict_round_trip: bool | None = None

    # What `pydantic` comes to: the models among the parameters.
    models: Models | None = None

    # What the sender has made of the attributes above, until one of them changes.
    sending: Defaults | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_internals(f"class {cls.__qualname__} of tasks", vars(cls))
        if "run" in vars(cls):
            body = vars(cls)["run"]
            if isinstance(body, (staticmethod, _BoundObject)):
                body = body.__wrapped__
            cls.is_async = _is_coroutine_function(body)
            module = getattr(body, "__module__", None) or cls.__module__
            cls.origin = f"{module}.{getattr(body, '__qualname__', cls.__qualname__)}"

    def __setattr__(self, name: str, value: Any) -> None:
        refuse_internals(f"task {self.name!r}", (name,))
        object.__setattr__(self, name, value)
        if name != "sending":
            self.__dict__.pop("sending", None)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self.__dict__.pop("sending", None)

    # -- the body, and what is called around it -----------------------------------------------------------------

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Be the body; a class says its own."""
        raise NotImplementedError(f"task class {type(self).__qualname__} has no body: define its `run` method")

    _get_app = _AppGetter()

    def before_start(self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Be called in the worker before the body. This and the other hooks may be ``async def``."""

    def on_success(self, retval: Any, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Be called after a body that returned `retval`; what is raised here is logged and changes nothing."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: ExceptionInfo
    ) -> Any:
        """Be called after a body that raised `exc`."""

    def on_retry(
        self,
        exc: BaseException | None,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo,
    ) -> Any:
        """Be called when the run is to be tried again; `exc` is why, if that was said."""

    def on_cancel(
        self,
        exc: TaskCancelled,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo | None,
    ) -> Any:
        """Be called when the run has ended because somebody cancelled it.

        After a body that had to be killed it is called in another process, and `einfo` is None.
        """

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo | None,
    ) -> Any:
        """Be called last, when the run has succeeded or failed; `retval` is the value or the exception."""

    @classmethod
    def on_bound(cls, app: Celery) -> Any:
        """Be called when the task becomes one of `app`."""

    def shadow_name(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
        """Return the name by which logs and monitors call one call; None is the task's own."""
        return None

    # -- trying again -------------------------------------------------------------------------------------------

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | str | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[MessageOptions],
    ) -> Retry:
        """End this attempt and have another one made: ``raise self.retry(exc=exc)``.

        The next attempt is published together with the outcome of this one. Outside of a worker nothing can be
        retried, so `exc` is raised, or `Retry` when there is none.

        Args:
            args: positional arguments of the next attempt; None: those of this one.
            kwargs: keyword arguments, likewise.
            exc: why; raised when there were too many retries.
            throw: raise `Retry`, which ends the body here, instead of returning it.
            eta: instant before which the next attempt does not start.
            countdown: seconds before it starts; `default_retry_delay` when neither is given.
            max_retries: instead of the task's own limit, also for automatic retries of this run.
            options: see `MessageOptions`; what they do not say stays as it is.

        Raises:
            Retry: always, but for `throw=False`.
            MaxRetriesExceededError: the limit is reached, and `exc` is None.
        """
        context = self.request
        if context.called_directly:
            _raise(exc or Retry("Task can be retried"))
        if max_retries is not None:
            context.max_retries = max_retries
        args, kwargs = arguments_of(*arguments_of_retry(self.run, context, args, kwargs))
        self._refuse_too_many(context, args, kwargs, exc, self.max_retries if max_retries is None else max_retries)
        if eta is None and countdown is None:
            countdown = self.default_retry_delay
        start = self.app.builder.start_of(countdown, eta)
        if context.is_eager:
            context.eager_retry = EagerRetry(args, kwargs, options)
        else:
            context.following.append(self.app.builder.build_retry(context, args, kwargs, start, options))
        when = countdown if eta is None else eta
        ending = Retry(None, exc, when, context.is_eager, eta_at=start.at if start is not None else None)
        if throw:
            raise ending
        return ending

    async def aretry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | str | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Unpack[MessageOptions],
    ) -> Retry:
        """Do what `retry` does, which waits for nothing: the next attempt is published when this one is settled."""
        return self.retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)

    # -- being replaced -----------------------------------------------------------------------------------------

    def replace(self, sig: Signature[Any]) -> Any:
        """End this run and have another call take its place: ``raise self.replace(other.s())``.

        The other one has the id of this run, what follows it and its place in a group or chord; this run leaves no
        result. It is published together with the outcome of this run. A group is followed by `celery.accumulate`.

        Returns:
            What the other call returned, where the body was called as a function; in a run this does not return.

        Raises:
            Ignore: in a run.
            ImproperlyConfigured: a chain without members.
        """
        context = self.request
        other = replacement_of(sig, context, self.app)
        self.on_replace(other)
        if context.called_directly:
            with allow_join_result():
                return other.apply().get()
        if context.is_eager:
            raise Replaced(other.apply())
        options = {"chain": context.chain} if context.chain else {}
        messages, _ = self.app.canvas.following(other, None, options, context)
        context.following.extend(messages)
        context.is_replaced = True
        raise Ignore(f"replaced by {other!r}")

    def on_replace(self, sig: Signature[Any]) -> Any:
        """Be called with the call that replaces a run; this gives it the stamps of the run."""
        stamps = stamps_of(self.request)
        if stamps:
            sig.stamp(append_stamps=True, **stamps)

    def add_to_chord(self, sig: Signature[Any], lazy: bool = False) -> Any:
        """Add a call to the header of the chord that this run is a member of; the body gets what it returns as well.

        It is published together with the outcome of this run.

        Args:
            sig: the call.
            lazy: do not send it: return it, for the program to send.

        Returns:
            Its result; the call itself, when it is `lazy`.

        Raises:
            ValueError: this run is a member of no chord.
        """
        return add_to_chord(sig, self.request, self.app, sends=not lazy)

    # -- the run, and its result --------------------------------------------------------------------------------

    @property
    def request(self) -> Context:
        """The run that this task is in; outside of one, a context that says `called_directly`."""
        return context_of(self) or Context(task=self.name, current=self)

    @property
    def request_stack(self) -> RequestStack:
        """The runs of this task that are under way here, one inside the other."""
        return RequestStack(self)

    def push_request(self, **fields: Any) -> Token[Context | None]:
        """Pretend, in tests of bodies, that a run is under way: ``task.push_request(id="x", retries=2)``."""
        fields = {"task": self.name, "called_directly": False, **fields}
        return push_context(Context(current=self, **fields))

    def pop_request(self) -> None:
        """End what `push_request` began."""
        context = current_context()
        if context is None or context.current is not self:
            raise RuntimeError(f"task {self.name!r} has no request to pop; push_request comes first")
        leave_context(context)

    def signature_from_request(
        self,
        request: Context | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        **options: Any,
    ) -> Signature[Any]:
        """Return the call of a run once more, with its id, arguments and options.

        Args:
            request: the run; None: the one that is under way.
            args: instead of its positional arguments.
            kwargs: instead of its keyword arguments.
            queue: instead of its queue.
            options: instead of the options of the same names.
        """
        request = self.request if request is None else request
        said = request.as_execution_options() | ({"queue": queue} if queue else {}) | options
        return self.signature(
            request.args if args is None else args, request.kwargs if kwargs is None else kwargs, options=said
        )

    subtask_from_request = signature_from_request

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **fields: Any
    ) -> None:
        """Store a state of the run that is under way, such as its progress; a final state is never overwritten.

        Args:
            task_id: another run than this one.
            state: any text; what it means is up to you.
            meta: what `AsyncResult.info` tells meanwhile; must be something that the result serializer can carry.
            fields: further keys of the record.
        """
        self.app.note_state(self, task_id, state, meta, fields)

    def send_event(
        self, type_: str, retry: bool = True, retry_policy: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Send an event of the run that is under way; nothing outside of any, or with `send_events` switched off.

        It blocks for some 0.1 ms, and for 2 s at most. One that cannot be sent is logged, and lost.

        Args:
            type_: ``task-`` and a word, such as ``task-progress``.
            retry, retry_policy: of no effect; taken because Celery has them.
            fields: what it tells; JSON can carry it.

        Raises:
            EncodeError: a field cannot be written.
        """
        context = self.request
        if self.send_events and context.id is not None:
            tell_of_run(self.app, context, type_, fields)

    def AsyncResult(self, task_id: str, **options: Any) -> Result[R]:
        """Return the result of the call of that id."""
        return Result(task_id, app=self.app, **options)

    @property
    def backend(self) -> Any:
        """Where results of the app are kept."""
        return self.app.backend

    def add_trail(self, result: Result[Any]) -> Result[Any]:
        """Note a call among the children of the run that is under way."""
        if self.trail:
            self.request.note_child(result)
        return result

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name raised AttributeError: have it say why again
                return object.__getattribute__(self, name)
            raise missing_of_task(self.name, name, dir(type(self)))

    def __reduce__(self) -> Any:
        return _task_of, (self.app.main, self.name, type(self).__module__)

    def __repr__(self) -> str:
        return f"<@task: {self.name} of {self.app.main or 'an unnamed app'}>"

    def _refuse_too_many(
        self,
        context: Context,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        exc: BaseException | None,
        max_retries: int | None,
    ) -> None:
        if max_retries is None or context.retries < max_retries:
            return
        if exc is not None:
            _raise(exc)
        shown, named = shown_arguments(self, args, kwargs)
        raise self.MaxRetriesExceededError(
            f"Can't retry {self.name}[{context.id}] args:{bounded_repr(tuple(shown))} kwargs:{bounded_repr(named)}",
            task_args=args,
            task_kwargs=kwargs,
        )


def make_task(
    app: Celery,
    function: Callable[..., Any],
    *,
    name: str,
    base: type[Task[..., Any]],
    bind: bool,
    options: Mapping[str, Any],
) -> Task[..., Any]:
    """Make a task of a function: an instance of a class of its own below `base`.

    Args:
        bind: the function gets the task as its first argument.
        options: checked, as attributes of the task.
    """
    if not bind:
        body: Any = staticmethod(function)
    else:
        body = function if hasattr(function, "__get__") else _BoundObject(function)
    kind: type[Task[..., Any]] = type(
        getattr(function, "__name__", "") or name.rpartition(".")[2],
        (base,),
        {
            **options,
            "app": app,
            "name": name,
            "run": body,
            "typing": options.get("typing", app.strict_typing if base.typing is None else base.typing),
            "__doc__": function.__doc__,
            "__module__": getattr(function, "__module__", None) or "",
            "__wrapped__": body,
            "__annotations__": getattr(function, "__annotations__", {}),
        },
    )
    task = kind()
    vars(task)["__name__"] = kind.__name__  # as a function has it
    vars(task)["__qualname__"] = getattr(function, "__qualname__", kind.__name__)
    return task


class _BoundObject:
    """Give a callable that is no function the task as its first argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    def __get__(self, task: Task[..., Any] | None, owner: object) -> Any:
        function = self.__wrapped__
        return function if task is None else lambda *args, **kwargs: function(task, *args, **kwargs)


def _task_of(main: str | None, name: str, module: str) -> Task[..., Any]:
    """Find the task that was pickled: in an app of that name, once the task's module is imported."""
    if module and module not in sys.modules:
        import_module(module)
    app = next((app for app in apps_named(main) if name in app.tasks), None)
    return (app or current_app()).tasks[name]


def _raise(exc: BaseException) -> NoReturn:
    """Raise an exception, because of the one that is being handled if there is another."""
    cause = sys.exception()
    if cause is None or cause is exc:
        raise exc
    raise exc from cause


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
