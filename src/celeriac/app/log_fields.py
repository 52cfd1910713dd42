"""What log records know of the run that they come from: its task, its id and that of its root, in any logger.

A record notes the run when it is made, in the thread or coroutine that logs, and gets the fields when somebody reads
them. So a record that a queue takes to another thread still knows, what is not written costs nothing, and names that
a program gives itself (``extra={"task_id": …}``) are its own.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from celeriac.app.config.worker import FIELDS
from celeriac.app.context import Context, current_context

UNKNOWN: Final = "???"
"""What fields are outside of a run, as in Celery."""

_carried: Final[ContextVar[Context | None]] = ContextVar("celeriac_run_of_thread", default=None)


def logged_run() -> Context | None:
    """Return the run that this thread or coroutine is in, or that has started this thread; None outside of one."""
    context = current_context() or _carried.get()
    while context is not None and context.id is None and context.outer is not None:
        context = context.outer  # a task that was called as a function has no id
    return context


class TaskRecord(logging.LogRecord):
    """Be a log record with `task_name`, `task_id` and `root_id`."""

    # In a slot, so that neither `extra` nor who copies or pickles a record's `__dict__` meets it.
    __slots__ = ("_run",)

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._run = logged_run()

    def fill(self) -> None:
        """Add the fields, where they are not there."""
        if "root_id" not in self.__dict__ or "task_id" not in self.__dict__ or "task_name" not in self.__dict__:
            _fill(self.__dict__, self._run)

    def getMessage(self) -> str:
        self.fill()  # every formatter asks for the message first
        return super().getMessage()

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            self.fill()
            return self.__dict__[name]
        if name == "_run":  # of a copy, which has the fields
            return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        self.fill()
        return self.__dict__


def _fill(fields: dict[str, Any], run: Context | None) -> None:
    fields.setdefault("task_name", (run and run.task) or UNKNOWN)
    fields.setdefault("task_id", (run and run.id) or UNKNOWN)
    fields.setdefault("root_id", (run and (run.root_id or run.id)) or UNKNOWN)


def fill_fields(record: logging.LogRecord) -> None:
    """Add the fields to a record of any class."""
    if isinstance(record, TaskRecord):
        record.fill()
    else:
        _fill(record.__dict__, logged_run())


class TaskFields(logging.Filter):
    """Add the fields to all records that pass a handler, in programs that have a record factory of their own."""

    def filter(self, record: logging.LogRecord) -> bool:
        fill_fields(record)
        return True


def have_records_know() -> None:
    """Make the records of this process know their run, from now on. A factory that the program has set stays."""
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(TaskRecord)


def _within(run: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = _carried.set(run)
    try:
        return function(*args, **kwargs)
    finally:
        _carried.reset(token)


def carry_into_threads() -> None:
    """Have threads of this process log as the run that has started them, and what runs in a pool of threads as the
    run that has submitted it.

    Python does that from 3.14 on, where it is asked to (`thread_inherit_context`). Only log lines are concerned: a
    thread is not inside of a run, and `current_task` is None there.
    """
    import concurrent.futures  # for workers only

    start: Any = threading.Thread.start
    submit: Any = concurrent.futures.ThreadPoolExecutor.submit
    if getattr(start, "carries_runs", False):
        return
    submitting = threading.local()

    @functools.wraps(start)
    def start_carrying(thread: threading.Thread) -> None:
        run = logged_run()
        # A thread of a pool outlives the run that was the first to need it.
        if run is not None and not getattr(submitting, "now", False):
            body = thread.run
            thread.run = lambda: _within(run, body)  # type: ignore[method-assign]  # for this thread only
        start(thread)

    @functools.wraps(submit)
    def submit_carrying(pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        run = logged_run()
        if run is None:
            return submit(pool, function, *args, **kwargs)
        submitting.now = True
        try:
            return submit(pool, _within, run, function, *args, **kwargs)
        finally:
            submitting.now = False

    start_carrying.carries_runs = True  # type: ignore[attr-defined]  # told by `getattr` above
    threading.Thread.start = start_carrying  # type: ignore[assignment,method-assign]  # that is the point
    concurrent.futures.ThreadPoolExecutor.submit = submit_carrying  # type: ignore[method-assign]  # likewise
