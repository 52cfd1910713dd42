"""Where a body can be interrupted: nowhere but inside it.

Limits and cancels raise an exception in a body from outside. Raised a moment too late it would hit the code around the
body, and lose an outcome. Who interrupts asks `Context.in_body` first, in one step with raising, and here is
what makes that answer true:

- A plain body may be interrupted between its call and the assignment that says that it is over. CPython raises what
  comes from outside (of signal handlers, of `PyThreadState_SetAsyncExc`) only at certain points, of which a call is
  one and an assignment none. So `checkpoint` is called last: what was to be raised is raised there.
- A coroutine is interrupted when it waits: `Interruptible` throws the exception into it instead of what it waited for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from celeriac.app.context import Context
from celeriac.exceptions import TaskCancelled

if TYPE_CHECKING:
    import asyncio


def checkpoint() -> None:
    """Let what is to be raised in this thread be raised now: every call of a Python function does."""


def note_told(context: Context, exc: BaseException) -> None:
    """Remember that a body was told that it is cancelled: whatever it makes of it, its run is."""
    if isinstance(exc, TaskCancelled):
        context.cancelled = exc


def guarded(context: Context, body: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a body in this thread so that interrupts reach it and nothing else."""
    try:
        context.thread = get_ident()
        context.in_body = True
        if context.interrupt is not None:
            _raise_early(context)
        value = body(*args, **kwargs)
        checkpoint()
        context.in_body = False
    except BaseException as exc:
        try:
            checkpoint()
        except BaseException as instead:
            context.in_body = False
            raise instead from exc
        context.in_body = False
        raise
    return value


def _raise_early(context: Context) -> None:
    """Raise what came before the body had begun."""
    exc, context.interrupt = context.interrupt, None
    assert exc is not None
    note_told(context, exc)
    raise exc


class Interruptible(Generator[Any, Any, Any]):
    """Await a coroutine, and have it interrupted at its next await.

    To await an object of this class is to await the coroutine. `interrupt` is for the thread of its event loop.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> None:
        self._coroutine = coroutine
        self._context = context
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: BaseException | None = None
        self._steps = False
        self._is_over = False
        context.driver = self

    def interrupt(self, exc: BaseException) -> None:
        """Have `exc` thrown into the coroutine when it waits next, or now that it waits. Callable from anywhere."""
        loop = self._loop
        if loop is None:
            self._pending = exc
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended
            loop.call_soon_threadsafe(self._throw_soon, exc)

    def _throw_soon(self, exc: BaseException) -> None:
        if self._is_over:
            return
        self._pending = exc
        if not self._steps and self._task is not None:
            self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        import asyncio  # 14 ms that programs which only send need not wait for

        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        if self._context.interrupt is not None:
            self._pending, self._context.interrupt = self._context.interrupt, None
        return self

    def __next__(self) -> Any:
        return self.send(None)  # here, so that no frame of another file is in tracebacks

    def send(self, value: Any) -> Any:
        """Take the coroutine to its next await."""
        if self._pending is not None:
            return self._step(self._coroutine.throw, self._take())
        return self._step(self._coroutine.send, value)

    def throw(self, *raised: Any) -> Any:
        """Raise in the coroutine what its wait came to; what it is to be interrupted with instead, if anything."""
        if self._pending is None:
            return self._step(self._coroutine.throw, *raised)
        if self._task is not None and self._task.cancelling():
            self._task.uncancel()
        return self._step(self._coroutine.throw, self._take())

    def close(self) -> None:
        """End the coroutine."""
        self._is_over = True
        self._coroutine.close()

    def _take(self) -> BaseException:
        exc, self._pending = self._pending, None
        assert exc is not None
        note_told(self._context, exc)
        return exc

    def _step(self, move: Callable[..., Any], *what: Any) -> Any:
        self._steps = True
        try:
            waited_for = move(*what)
        except BaseException:
            self._is_over = True
            self._context.driver = None
            raise
        finally:
            self._steps = False
        if self._pending is not None and self._task is not None:
            self._task.cancel()  # told while it ran: what it waits for now is not waited for
        return waited_for


async def interruptible(coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
    """Be the body of a run that is a coroutine, so that it can be interrupted."""
    return await Interruptible(coroutine, context)
