"""Which app is meant where none is named, and which task is running."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast
from weakref import WeakSet

from celeriac.app.context import running_task
from celeriac.canvas.sender import look_up_senders_with
from celeriac.exceptions import CeleryWarning, ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.task import Task

T = TypeVar("T")

_current: Celery | None = None
_default: Celery | None = None

living_apps: Final[WeakSet[Celery]] = WeakSet()
"""Every app of this process that somebody still holds."""


def set_current_app(app: Celery) -> None:
    """Make `app` the current one, for every thread of this process."""
    global _current
    _current = app


def set_default_app(app: Celery) -> None:
    """Make `app` the one that is meant where none was set current."""
    global _default
    _default = app


@contextmanager
def kept_apps() -> Iterator[None]:
    """Have the current and the default app at the end of a `with` block be what they were before it."""
    global _current, _default
    before = _current, _default
    try:
        yield
    finally:
        _current, _default = before


def current_app() -> Celery:
    """Return the app that was made or set current last, else the default one, which is made if need be.

    An app that nobody has made is configured by the environment and `pyproject.toml` alone. As in Celery,
    ``C_STRICT_APP`` in the environment makes needing it an error, and ``C_WARN_APP`` a warning.

    Raises:
        ImproperlyConfigured: nobody has made an app, and ``C_STRICT_APP`` is set.
    """
    return _current or _default or _make_default_app()


def apps_named(main: str | None) -> list[Celery]:
    """Return the current app and the others of this process, as far as they have that name."""
    return [app for app in (current_app(), *living_apps) if app.main == main]


def _make_default_app() -> Celery:
    if os.environ.get("C_STRICT_APP"):
        raise ImproperlyConfigured(
            "there is no current app in this process, and C_STRICT_APP is set: make one with `app = Celery('name')`, "
            "or import the module that makes it, before this call"
        )
    if os.environ.get("C_WARN_APP"):
        warnings.warn("the default app is used, because this process has made none", CeleryWarning, stacklevel=3)
    from celeriac.app.application import Celery

    app = Celery("default", set_as_current=False)
    app.conf.take_default_module()
    set_default_app(app)
    return app


def app_or_default(app: Celery | None = None) -> Celery:
    """Return the app given, or the current one."""
    return current_app() if app is None else app


# At import, because a signature that comes out of a pickle may be used before anything else happens.
look_up_senders_with(current_app)


class Proxy(Generic[T]):
    """Stand for an object that is looked up at each use, such as the current app."""

    __slots__ = ("_find",)

    def __init__(self, find: Callable[[], T]) -> None:
        object.__setattr__(self, "_find", find)

    def _get_current_object(self) -> T:
        """Return the object itself; private by its name only, as in Celery, where programs call it."""
        found: T = self._find()
        return found

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._find(), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._find(), attribute, value)

    def __reduce__(self) -> Any:
        found: Any = self._find()
        return found.__reduce__()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found: Any = self._find()
        return found(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._find())

    def __eq__(self, other: object) -> bool:
        return bool(self._find() == other)

    def __hash__(self) -> int:
        return hash(self._find())

    def __repr__(self) -> str:
        return repr(self._find())


current_app_proxy = cast("Celery", Proxy(current_app))
"""`celeriac.current_app`: the current app, whichever that is when it is used."""

current_task_proxy = cast("Task[..., Any]", Proxy(running_task))
"""`celeriac.current_task`: the task whose body is running; false outside of one."""
