"""What only type checkers see: tasks of coroutine functions, signatures of tasks, and what decorators return.

When a program runs, all tasks are `Task` and all their signatures `Signature`; nothing here is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from celeriac.app.eager_result import EagerResult
from celeriac.app.result import AsyncResult
from celeriac.app.task import Task
from celeriac.canvas.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class AsyncTask(Task[P, R]):
    """Be the task of a coroutine function: called here it returns a coroutine, sent elsewhere its value is R."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]  # on purpose
        """Return the coroutine that runs the body."""
        raise NotImplementedError


class TaskSignature(Signature[R_co]):
    """Be a signature of a task, whose results are those of the app."""

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[R_co]:
        """Send the call, completed by these arguments."""
        raise NotImplementedError

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R_co]:
        """Send the call, completed by these arguments and options."""
        raise NotImplementedError

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[R_co]:
        """Do what `delay` does without blocking the event loop."""
        raise NotImplementedError

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R_co]:
        """Do what `apply_async` does without blocking the event loop."""
        raise NotImplementedError

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R_co]:
        """Run the call here and now as a worker would."""
        raise NotImplementedError

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[R_co]:
        """Settle the id of the run before it is sent, and return its result."""
        raise NotImplementedError


class TaskDecorator(Protocol):
    """Make a task of a function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundTaskDecorator(Protocol):
    """Make a task of a function whose first argument is the task."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...
