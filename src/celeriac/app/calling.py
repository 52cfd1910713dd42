"""How a task is called: here, or by sending the call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, Unpack, cast, overload

from celeriac.app.arguments import ArgumentCheck, arguments_of
from celeriac.app.caught import caught_call
from celeriac.app.context import Context, current_context, entered
from celeriac.app.options import CallOptions
from celeriac.app.result import AsyncResult as Result
from celeriac.canvas.maps import chunks, xmap, xstarmap
from celeriac.canvas.signature import Signature

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.eager_result import EagerResult
    from celeriac.app.typed import TaskSignature

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


class Calling(Generic[P, R]):
    """Be called: the part of a `Task` that its callers use.

    To type checkers, P are the parameters of the body and R is what a run of it comes to, of a coroutine function too.
    The arguments of `apply_async` are checked when they are a tuple of up to six, without keyword arguments, and those
    of `s` as long as no more than three are left to come in front; a list is not checked.

    Attributes:
        app: whose task it is.
        name: what messages call it.
        is_async: the body is a coroutine function, or an object with such a `__call__`.
        typing: check the arguments of each call; None until an app takes the task, and says so.
    """

    app: Celery
    name: str
    is_async: bool
    typing: bool | None

    _check: ArgumentCheck | None = None

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Be the body; a class says its own."""
        raise NotImplementedError(f"task class {type(self).__qualname__} has no body: define its `run` method")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the body here and now, as the function that it is.

        A class that overrides this, and calls it from there, has its body run in the run that is under way.
        """
        if not self.app.finalized:
            call = type(self).__call__
            self.app.finalize(auto=True)
            if type(self).__call__ is not call:  # by an annotation
                return self(*args, **kwargs)
        context = current_context()
        if context is not None and context.awaits_body and context.current is cast("Any", self):
            context.awaits_body = False
            return self.run(*args, **kwargs)
        context = Context(task=self.name, args=args, kwargs=kwargs, current=cast("Any", self))
        if self.is_async:
            return cast("R", _run_within(context, cast("Coroutine[Any, Any, Any]", self.run(*args, **kwargs))))
        with entered(context):
            return self.run(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Send a call with these arguments; returning means that the broker has it.

        Where `apply_async` is another than here, it is what sends.
        """
        task: Any = self
        if getattr(task.apply_async, "__func__", None) is not _APPLY_ASYNC:  # 0.08 us; as `own_sending` asks
            result: Result[R] = task.apply_async(args, kwargs)
            return result
        app = self.app
        if app.conf.task_always_eager or app.hands_on_calls:
            return self._apply_async(args, kwargs, {})
        if self.typing:
            self.check_arguments(args, kwargs)
        return app.sender.send(cast("Any", self), args, kwargs)

    @overload
    def apply_async(
        self: Callable[[], Any],
        args: tuple[()] | None = None,
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A], Any],
        args: tuple[A],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A, B], Any],
        args: tuple[A, B],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A, B, C], Any],
        args: tuple[A, B, C],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A, B, C, D], Any],
        args: tuple[A, B, C, D],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A, B, C, D, E], Any],
        args: tuple[A, B, C, D, E],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self: Callable[[A, B, C, D, E, F], Any],
        args: tuple[A, B, C, D, E, F],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self,
        args: list[Any],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any],
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        *,
        kwargs: Mapping[str, Any],
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        *more: Any,
        **options: Unpack[CallOptions],
    ) -> Result[R]:
        """Send a call; returning means that the broker has it. With `task_always_eager` it runs here instead.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            task_id: the id to use; None makes one.
            more: `producer`, `link`, `link_error` and `shadow`, as classes written for Celery hand them on.
            options: see `CallOptions`.

        Raises:
            TypeError: the arguments do not fit the task, or there is no such option.
            ValueError: an option is not what it may be.
            NotImplementedError: an option asks for what this version does not have.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation in time.
        """
        if more:
            options = _with_placed(more, options)
        return self._apply_async(args, kwargs, options, task_id=task_id)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Do what `delay` does without blocking the event loop; here it is an `aapply_async` of its own that sends."""
        task: Any = self
        if getattr(task.aapply_async, "__func__", None) is not _AAPPLY_ASYNC:
            result: Result[R] = await task.aapply_async(args, kwargs)
            return result
        return await self._aapply_async(args, kwargs, {})

    @overload
    async def aapply_async(
        self: Callable[[], Any],
        args: tuple[()] | None = None,
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A], Any],
        args: tuple[A],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A, B], Any],
        args: tuple[A, B],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A, B, C], Any],
        args: tuple[A, B, C],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A, B, C, D], Any],
        args: tuple[A, B, C, D],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A, B, C, D, E], Any],
        args: tuple[A, B, C, D, E],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self: Callable[[A, B, C, D, E, F], Any],
        args: tuple[A, B, C, D, E, F],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self,
        args: list[Any],
        kwargs: None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any],
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    @overload
    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        *,
        kwargs: Mapping[str, Any],
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]: ...

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]:
        """Do what `apply_async` does without blocking the event loop."""
        return await self._aapply_async(args, kwargs, options, task_id=task_id)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int = 0,
        throw: bool | None = None,
        logfile: str | None = None,
        loglevel: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run the task here and now as a worker would, hooks, retries and all, and return how it ended.

        Args:
            args: positional arguments; they are not serialized, unlike with `task_always_eager`.
            kwargs: keyword arguments.
            link: callbacks, called with the result.
            link_error: errbacks.
            task_id: the id to use; None makes one.
            retries: the attempt that this is.
            throw: raise what the body raises; None: as `task_eager_propagates` says.
            logfile: to be found in the request.
            loglevel: to be found in the request.
            headers: custom headers, to be found in the request.
            options: as for `apply_async`; those that concern the way to a worker have no effect here.
        """
        args, kwargs = arguments_of(args, kwargs)
        more = {"logfile": logfile, "loglevel": loglevel, "headers": headers, **options}
        return self.app.eager.apply(
            cast("Any", self),
            args,
            kwargs,
            more,
            task_id=task_id,
            retries=retries,
            throw=throw,
            link=link,
            link_error=link_error,
        )

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more_options: Any,
    ) -> TaskSignature[R]:
        """Return a call that is not made yet; see `celeriac.canvas.Signature`."""
        more_options.setdefault("app", self.app)
        return self._signature(args, kwargs, options, immutable=immutable, **more_options)

    subtask = signature

    @overload
    def s(self, *args: P.args, **kwargs: P.kwargs) -> TaskSignature[R]: ...

    @overload
    def s(self: Calling[Concatenate[Any, Q], R], *args: Q.args, **kwargs: Q.kwargs) -> TaskSignature[R]: ...

    @overload
    def s(self: Calling[Concatenate[Any, Any, Q], R], *args: Q.args, **kwargs: Q.kwargs) -> TaskSignature[R]: ...

    @overload
    def s(self: Calling[Concatenate[Any, Any, Any, Q], R], *args: Q.args, **kwargs: Q.kwargs) -> TaskSignature[R]: ...

    def s(self, *args: Any, **kwargs: Any) -> TaskSignature[Any]:
        """Return a call that is not made yet, with these arguments; others may come in front of them later."""
        return self._signature(args, kwargs, app=self.app)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> TaskSignature[R]:
        """Return a call that is not made yet, with these arguments and no others later."""
        return self._signature(args, kwargs, immutable=True, app=self.app)

    def map(self, it: Iterable[Any]) -> xmap:
        """Return one call that runs the task with each of many arguments: its result is the list of results."""
        return xmap(self._signature(), it, app=self.app)

    def starmap(self, it: Iterable[Sequence[Any]]) -> xstarmap:
        """Return one call that runs the task with each of many tuples of arguments."""
        return xstarmap(self._signature(), it, app=self.app)

    def chunks(self, it: Iterable[Sequence[Any]], n: int) -> chunks:
        """Return calls of the task with many tuples of arguments, `n` of which are in one message."""
        return chunks(self._signature(), it, n, app=self.app)

    def check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise `TypeError` when the body cannot be called with these arguments."""
        if self._check is None:
            self._check = ArgumentCheck(self.name, self.run)
        self._check(args, kwargs)

    def _apply_async(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: CallOptions,
        *,
        task_id: str | None = None,
    ) -> Result[Any]:
        args, kwargs = arguments_of(args, kwargs)
        app = self.app
        if caught_call(task_id) is None:  # else the run that it is for is the one to fail, wherever that is
            if self.typing:
                self.check_arguments(args, kwargs)
            if app.conf.task_always_eager:
                return app.eager.apply_async(cast("Any", self), args, kwargs, options, task_id=task_id)
        if app.hands_on_calls:
            handed_on: CallOptions = {**options, "task_type": cast("Any", self)}
            return app.send_task(self.name, args, kwargs, task_id=task_id, **handed_on)
        return app.sender.send(cast("Any", self), args, kwargs, options, task_id=task_id)

    async def _aapply_async(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: CallOptions,
        *,
        task_id: str | None = None,
    ) -> Result[Any]:
        args, kwargs = arguments_of(args, kwargs)
        app = self.app
        if self.typing:
            self.check_arguments(args, kwargs)
        if app.conf.task_always_eager:
            return await app.eager.aapply_async(cast("Any", self), args, kwargs, options, task_id=task_id)
        return await app.sender.asend(cast("Any", self), args, kwargs, options, task_id=task_id)

    def _signature(self, *args: Any, **options: Any) -> TaskSignature[Any]:
        return cast("TaskSignature[Any]", Signature(self, *args, **options))


def _with_placed(more: tuple[Any, ...], options: CallOptions) -> CallOptions:
    if len(more) > len(_BY_PLACE):
        raise TypeError(f"apply_async takes 3 arguments, then {', '.join(_BY_PLACE)}; options are given by name")
    placed = dict(zip(_BY_PLACE, more, strict=False))
    twice = placed.keys() & options.keys()
    if twice:
        raise TypeError(f"apply_async got {', '.join(sorted(twice))} by place and by name")
    return cast("CallOptions", {**placed, **options})


_BY_PLACE: Final = ("producer", "link", "link_error", "shadow")
"""Options of Celery's `apply_async` that follow `task_id`."""

_APPLY_ASYNC: Final[Any] = Calling.apply_async
_AAPPLY_ASYNC: Final[Any] = Calling.aapply_async


async def _run_within(context: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    with entered(context):
        return await coroutine
