"""A worker for the length of a `with` block, inside the test's own process or beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from celeriac.app.application import Celery
from celeriac.app.current import kept_apps
from celeriac.app.joining import allow_join_result
from celeriac.app.signals import Signal
from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing.process_worker import ProcessWorker
from celeriac.testing.tasks import PING, ping_of
from celeriac.testing.thread_worker import ThreadWorker
from celeriac.worker.names import node_name
from celeriac.worker.pools.table import find_pool

BESIDE: Final = "prefork"
"""The pool whose tasks are processes, of a node beside the test's; those of others run in threads of the test's own."""

test_worker_starting: Final = Signal(name="test_worker_starting")
test_worker_started: Final = Signal(("worker", "consumer"), name="test_worker_started")
test_worker_stopped: Final = Signal(("worker",), name="test_worker_stopped")

_NEEDLESS: Final = frozenset(("without_heartbeat", "without_mingle", "without_gossip", "ready_callback"))


class TestWorker(Protocol):
    """Be a worker that a test has.

    Attributes:
        app: whose tasks it runs.
        hostname: its name.
        queues: what it consumes.
        pool: what runs the tasks.
        concurrency: tasks at once.
    """

    app: Celery
    hostname: str
    pool: str
    concurrency: int

    @property
    def queues(self) -> tuple[str, ...]: ...

    def start(self) -> None:
        """Return when it takes work."""

    def stop(self, timeout: float) -> None:
        """Stop it warmly, within that many seconds; RuntimeError when it did not end."""

    def reload(self) -> None:
        """Do nothing: tasks that were registered since are known."""


@contextmanager
def start_worker(
    app: Celery,
    concurrency: int = 1,
    pool: str = "solo",
    loglevel: str | int | None = None,
    logfile: str | None = None,
    perform_ping_check: bool = True,
    ping_task_timeout: float = 10.0,
    shutdown_timeout: float = 10.0,
    *,
    hostname: str | None = None,
    queues: Sequence[str] | str | None = None,
    exclude_queues: Sequence[str] | str = (),
    prefetch_multiplier: int | None = None,
    **needless: Any,
) -> Iterator[TestWorker]:
    """Have a worker run an app's tasks, for the length of a `with` block.

    It is inside this process, its supervisor and what runs the tasks in threads of their own, unless the pool is
    `prefork`. So `memory://` is enough, tasks may be defined in the test, and a debugger sees them. Soft time limits
    and cancels reach them. What needs a process of its own is not to be had there: a body that hangs is not killed,
    hard time limits do not hold, and a body that ends the process ends the test. With `prefork` a node is started
    beside this process; the app must be in a module that can be imported there, and its broker must cross processes.

    The app is the current one meanwhile.

    Args:
        concurrency: tasks at once; with `solo` one, whatever is given.
        pool: `solo`, `threads`, `asyncio`, `prefork`, or a class of your own.
        loglevel: what is logged on standard error, or into `logfile`; None logs nothing of its own, so that records
            go where the program has them go.
        perform_ping_check: call a task before the block begins; without effect where no results are kept, and beside
            this process where the app has no task ``celery.ping`` of its own.
        ping_task_timeout: seconds after which its answer is given up.
        shutdown_timeout: seconds that running tasks have at the end.
        hostname: name of the node; None makes one.
        queues: what to consume; None is the app's default queue.
        exclude_queues: what to leave out of it.
        prefetch_multiplier: messages held per slot.
        needless: flags of Celery that switch off what is not there.

    Raises:
        TypeError: an argument has no meaning here.
        ImproperlyConfigured: the worker cannot be as it is asked for; the text says why.
        RuntimeError: at the end, tasks were still running after `shutdown_timeout`.
    """
    unknown = needless.keys() - _NEEDLESS
    if unknown:
        raise TypeError(f"start_worker has no argument {', '.join(map(repr, sorted(unknown)))}")
    name = node_name(hostname or f"test{os.getpid()}")
    chosen = _queues(app, queues, exclude_queues)
    kind = ProcessWorker if find_pool(pool, "pool").name == BESIDE else ThreadWorker
    worker: TestWorker = kind(
        app,
        hostname=name,
        queues=chosen,
        pool=pool,
        concurrency=concurrency,
        loglevel=loglevel,
        logfile=logfile,
        prefetch_multiplier=prefetch_multiplier,
        stop_grace=shutdown_timeout,
    )
    test_worker_starting.send(sender=app)
    try:
        with kept_apps():
            app.set_current()
            app.set_default()
            if perform_ping_check and kind is ThreadWorker:
                ping_of(app)
            worker.start()
            try:
                test_worker_started.send(sender=app, worker=worker, consumer=None)
                if perform_ping_check and app.backend is not None and PING in app.tasks:
                    _ping(app, chosen[0], ping_task_timeout)
                yield worker
            finally:
                worker.stop(shutdown_timeout)
    finally:
        test_worker_stopped.send(sender=app, worker=worker)


def _queues(app: Celery, queues: Sequence[str] | str | None, excluded: Sequence[str] | str) -> tuple[str, ...]:
    left_out = _names(excluded)
    table = app.amqp.queues
    found = list(table.consume_from.values()) if queues is None else [table[name] for name in _names(queues)]
    left = {table.aliases[name].name if name in table.aliases else name for name in left_out}
    chosen = tuple(queue.name for queue in found if queue.name not in left)
    if not chosen:
        raise ImproperlyConfigured("no queue is left for the worker to consume")
    return chosen


def _names(queues: Sequence[str] | str) -> tuple[str, ...]:
    return tuple(queues.split(",")) if isinstance(queues, str) else tuple(queues)


def _ping(app: Celery, queue: str, timeout: float) -> None:
    with allow_join_result():
        answer = app.send_task(PING, queue=queue).get(timeout=timeout)
    if answer != "pong":
        raise RuntimeError(f"task {PING!r} answered {answer!r} instead of 'pong': another task has its name")
