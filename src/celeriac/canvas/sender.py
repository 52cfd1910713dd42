"""What a signature asks of the app that it belongs to, and which app is meant when it belongs to none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from celeriac.exceptions import ImproperlyConfigured

R_co = TypeVar("R_co", covariant=True)


class Result(Protocol[R_co]):
    """Be what a call returns to its caller: the app's `AsyncResult`, as far as it is known here."""

    id: str

    def get(self, timeout: float | None = None, propagate: bool = True) -> R_co:
        """Wait for the run to end and return what it returned."""
        ...

    def ready(self) -> bool:
        """Say whether the run has ended."""
        ...


class Composer(Protocol):
    """Send and run what consists of several calls: the part of an app that does."""

    def send(self, whole: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
        """Send it, or run it here where calls are not sent; return the result of the whole."""
        ...

    async def asend(self, whole: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
        """Do the same without blocking the event loop."""
        ...

    def apply(self, whole: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Any:
        """Run it here and now."""
        ...

    def check_joins(self) -> None:
        """Raise where nothing can wait for the members of a chord."""
        ...


class Sender(Protocol):
    """Find tasks and send calls: an app.

    Attributes:
        tasks: the registered tasks, by name; looking up another raises `NotRegistered`, a `KeyError`.
        thread_oid: where answers to calls of this thread go, for brokers that carry answers.
        send_task: takes a name, args, kwargs and options of a call, and returns its result.
        asend_task: does the same without blocking the event loop.
        AsyncResult: makes a result of an id.
        GroupResult: makes the result of a group, of an id and results.
        canvas: sends what consists of several calls.
        conf: the settings.
    """

    @property
    def tasks(self) -> Mapping[str, Any]: ...
    @property
    def thread_oid(self) -> str: ...
    @property
    def send_task(self) -> Callable[..., Any]: ...
    @property
    def asend_task(self) -> Callable[..., Coroutine[Any, Any, Any]]: ...
    @property
    def AsyncResult(self) -> Callable[[str], Any]: ...
    @property
    def GroupResult(self) -> Any: ...
    @property
    def canvas(self) -> Composer: ...
    @property
    def conf(self) -> Any: ...


def _no_sender() -> Sender:
    raise ImproperlyConfigured(
        "this signature belongs to no app, and there is no current one in this process: make one with "
        "`app = Celery('name')`, or give the signature one with app=..."
    )


_find: Callable[[], Sender] = _no_sender


def look_up_senders_with(find: Callable[[], Sender]) -> None:
    """Have signatures without an app, such as unpickled ones, use what `find` returns at that time."""
    global _find
    _find = find


def current_sender() -> Sender:
    """Return the app that signatures without one use just now."""
    return _find()
