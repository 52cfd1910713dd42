"""Whether it is allowed to wait for a result here: inside a task it is not, unless somebody says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from celeriac.app.context import Context, current_context

_said: Final[ContextVar[bool | None]] = ContextVar("celeriac_join_will_block", default=None)


def task_join_will_block() -> bool:
    """Say whether waiting for a result here would occupy a slot of a worker that the awaited run may need."""
    said = _said.get()
    return _run_of_worker() is not None if said is None else said


def assert_will_not_block(task_id: str | None = None) -> None:
    """Refuse to wait for a result inside a task.

    Args:
        task_id: of the run that is waited for, for the error.

    Raises:
        RuntimeError: a worker runs a task here, or `denied_join_result` is in force.
    """
    if not task_join_will_block():
        return
    what = "a result" if task_id is None else f"result {task_id}"
    run = _run_of_worker()
    if run is None:
        raise RuntimeError(f"waiting for {what} is denied here, by `denied_join_result`")
    raise RuntimeError(
        f"task {run.task!r} (id {run.id}) waits for {what}: a task that waits holds a slot which the other may need to "
        "run. Return, and let what follows be its own task; or, if the other runs elsewhere for sure, wait within "
        "`allow_join_result()`"
    )


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results within a `with` block, in this thread or coroutine."""
    yield from _saying(False)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Refuse waiting for results within a `with` block, in this thread or coroutine."""
    yield from _saying(True)


def _saying(will_block: bool) -> Iterator[None]:
    token = _said.set(will_block)
    try:
        yield
    finally:
        _said.reset(token)


def _run_of_worker() -> Context | None:
    """Return the run that a worker has started here, past functions that were called and tasks that were applied."""
    context = current_context()
    while context is not None and (context.called_directly or context.is_eager):
        context = context.outer
    return context
