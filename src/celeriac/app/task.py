"""A registered function: called in place, or sent to run elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from inspect import iscoroutinefunction
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar, Unpack, cast, overload

from celeriac.app.arguments import ArgumentCheck, arguments_of
from celeriac.app.context import Context, current_context, entered
from celeriac.app.options import CallOptions, MessageOptions
from celeriac.app.result import AsyncResult
from celeriac.app.task_options import read_task_options
from celeriac.canvas.signature import Signature
from celeriac.exceptions import MaxRetriesExceededError, Retry
from celeriac.wire.reprs import bounded_repr

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.calls import Defaults

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


def _setting(name: str) -> Any:
    return _FromSetting(name)


class Task(Generic[P, R]):
    """Be a function that workers can run.

    Attributes:
        app: whose task it is.
        name: what messages call it.
        run: the body, with the task itself already given when it is bound.
        bind: the body gets the task as its first argument.
        is_async: the body is a coroutine function, or an object with such a `__call__`.
        origin: where the function is defined.
    """

    MaxRetriesExceededError = MaxRetriesExceededError

    app: Celery
    name: str
    run: Callable[P, R]
    bind: bool
    is_async: bool
    origin: str

    max_retries: int | None = 3
    default_retry_delay: float = 180
    expires: float | datetime | str | None = None
    serializer: str = "json"
    typing: bool = True
    acks_late: bool = _setting("task_acks_late")
    ignore_result: bool = _setting("task_ignore_result")
    track_started: bool = _setting("task_track_started")
    priority: int | None = _setting("task_default_priority")
    sensitive: tuple[str, ...] | bool = ()

    # What the sender has made of the attributes above, until one of them changes.
    sending: Defaults | None = None

    def __init__(
        self, app: Celery, function: Callable[..., R], *, name: str, bind: bool, options: Mapping[str, Any]
    ) -> None:
        self.app = app
        self.name = name
        self.bind = bind
        self.run = MethodType(function, self) if bind else function
        self.is_async = _is_coroutine_function(function)
        self.__wrapped__ = function
        self.__module__ = getattr(function, "__module__", None) or ""
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.origin = f"{self.__module__}.{getattr(function, '__qualname__', self.__name__)}"
        self._check: ArgumentCheck | None = None
        for option, value in read_task_options(f"task {name!r}", options, type(self)).items():
            setattr(self, option, value)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name != "sending":
            self.__dict__.pop("sending", None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the body here and now, as the function that it is."""
        context = Context(task=self.name, args=args, kwargs=kwargs, current=self)
        if self.is_async:
            return cast("R", _run_within(context, cast("Coroutine[Any, Any, Any]", self.run(*args, **kwargs))))
        with entered(context):
            return self.run(*args, **kwargs)

    @overload
    def delay(self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> AsyncResult[T]: ...

    @overload
    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]: ...

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Send a call with these arguments; returning means that the broker has it."""
        if self.typing:
            self.check_arguments(args, kwargs)
        return self.app.sender.send(self, args, kwargs)

    @overload
    def apply_async(
        self: Task[P, Coroutine[Any, Any, T]],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[T]: ...

    @overload
    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]: ...

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """Send a call; returning means that the broker has it.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            task_id: the id to use; None makes one.
            options: see `CallOptions`.

        Raises:
            TypeError: the arguments do not fit the task, or there is no such option.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation in time.
        """
        args, kwargs = arguments_of(args, kwargs)
        if self.typing:
            self.check_arguments(args, kwargs)
        return self.app.sender.send(self, args, kwargs, options, task_id=task_id)

    @overload
    async def adelay(self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> AsyncResult[T]: ...

    @overload
    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]: ...

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Do what `delay` does without blocking the event loop."""
        return await self.aapply_async(args, kwargs)

    @overload
    async def aapply_async(
        self: Task[P, Coroutine[Any, Any, T]],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[T]: ...

    @overload
    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]: ...

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """Do what `apply_async` does without blocking the event loop."""
        args, kwargs = arguments_of(args, kwargs)
        if self.typing:
            self.check_arguments(args, kwargs)
        return await self.app.sender.asend(self, args, kwargs, options, task_id=task_id)

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more_options: Any,
    ) -> Signature[R]:
        """Return a call that is not made yet; see `celeriac.canvas.Signature`."""
        more_options.setdefault("app", self.app)
        return Signature(self, args, kwargs, options, immutable=immutable, **more_options)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a call that is not made yet, with these arguments; others may come in front of them later."""
        return Signature(self, args, kwargs, app=self.app)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """Return a call that is not made yet, with these arguments and no others later."""
        return Signature(self, args, kwargs, immutable=True, app=self.app)

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
            max_retries: instead of the task's own limit.
            options: see `MessageOptions`; what they do not say stays as it is.

        Raises:
            Retry: always, but for `throw=False`.
            MaxRetriesExceededError: the limit is reached, and `exc` is None.
        """
        context = self.request
        if context.called_directly:
            _raise(exc or Retry("Task can be retried"))
        args, kwargs = arguments_of(
            context.args if args is None else args, context.kwargs if kwargs is None else kwargs
        )
        self._refuse_too_many(context, args, kwargs, exc, self.max_retries if max_retries is None else max_retries)
        if eta is None and countdown is None:
            countdown = self.default_retry_delay
        sender = self.app.sender
        start = sender.start_of(countdown, eta)
        context.following.append(sender.build_retry(context, args, kwargs, start, options))
        when = f"in {countdown:g}s" if countdown is not None else f"at {eta}"
        reason = f": {exc!r}" if exc is not None else ""
        ending = Retry(f"Retry {when}{reason}", exc, eta_at=start.at if start is not None else None)
        if throw:
            raise ending
        return ending

    @property
    def request(self) -> Context:
        """The run that this task is in; outside of one, a context that says `called_directly`."""
        context = current_context()
        return context if context is not None and context.current is self else Context(task=self.name, current=self)

    def AsyncResult(self, task_id: str) -> AsyncResult[R]:
        """Return the result of the call of that id."""
        return AsyncResult(task_id, app=self.app)

    def check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError` when the body cannot be called with these arguments."""
        if self._check is None:
            self._check = ArgumentCheck(self.name, self.run)
        self._check(args, kwargs)

    def __repr__(self) -> str:
        return f"<Task: {self.name} of {self.app.main or 'an unnamed app'}>"

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
        raise self.MaxRetriesExceededError(
            f"Can't retry {self.name}[{context.id}] args:{bounded_repr(args)} kwargs:{bounded_repr(kwargs)}",
            task_args=args,
            task_kwargs=kwargs,
        )


def _raise(exc: BaseException) -> NoReturn:
    """Raise an exception, because of the one that is being handled if there is another."""
    cause = sys.exception()
    if cause is None or cause is exc:
        raise exc
    raise exc from cause


async def _run_within(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    with entered(context):
        return await coroutine


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
