"""Tasks of no app in particular: every app has them, and calling one is calling the current app's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload
from weakref import WeakSet

from celeriac.app.current import Proxy, current_app
from celeriac.app.task import Task

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task_options import TaskOptions
    from celeriac.app.typed import AsyncTask, BoundTaskDecorator, TaskDecorator

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_makers: list[Callable[[Celery], object]] = []
_finalized: WeakSet[Celery] = WeakSet()


@overload
def shared_task(function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(
    *, bind: Literal[True], base: type[Task[..., Any]] | None = None, **options: Unpack[TaskOptions]
) -> BoundTaskDecorator: ...


@overload
def shared_task(
    *, bind: Literal[False] = False, base: type[Task[..., Any]] | None = None, **options: Unpack[TaskOptions]
) -> TaskDecorator: ...


def shared_task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a task of a function for every app, those that are made later too. Options are those of `Celery.task`."""
    if function is None:
        return lambda function: _share(function, options)
    return _share(function, options)


def _share(function: Callable[..., Any], options: dict[str, Any]) -> Task[..., Any]:
    if isinstance(function, (Task, _SharedTask)):
        raise TypeError(f"{function!r} is a task already; decorate the function once")

    def make(app: Celery) -> object:
        make_task: Any = app.task(**options)
        return make_task(function)

    name: str | None = options.get("name")

    def find() -> Task[..., Any]:
        app = current_app()
        return app.tasks[name or app.gen_task_name(function.__name__, function.__module__)]

    _makers.append(make)
    for app in list(_finalized):
        make(app)
    return cast("Task[..., Any]", _SharedTask(find, function))


class _SharedTask(Proxy["Task[..., Any]"]):
    """Stand for the current app's task, and look like the function to those who look at modules."""

    def __init__(self, find: Callable[[], Task[..., Any]], function: Callable[..., Any]) -> None:
        super().__init__(find)
        for name in ("__annotations__", "__doc__", "__module__", "__name__", "__qualname__"):
            if hasattr(function, name):
                object.__setattr__(self, name, getattr(function, name))

    # Not looked up: whoever asks whether it is a task may do so before there is an app.
    __class__ = property(lambda self: Task)


def give_shared_tasks(app: Celery) -> None:
    """Give an app the shared tasks there are, and from now on every further one."""
    _finalized.add(app)
    for make in _makers:
        make(app)
