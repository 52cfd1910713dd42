"""A worker inside this process: a supervisor in one thread, bodies in others."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from celeriac.app.application import Celery
from celeriac.app.config.worker import LOG_FORMAT
from celeriac.app.log_formats import LineFormatter
from celeriac.worker import packets
from celeriac.worker.child import serve
from celeriac.worker.forkserver import Died, Notice
from celeriac.worker.instance import Worker
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.loops import fast_loop
from celeriac.worker.node_signals import say_configured, say_init, say_process_init, say_set_up
from celeriac.worker.options import NodeOptions
from celeriac.worker.orders import ORDER_SIGNAL
from celeriac.worker.pools.base import Pool
from celeriac.worker.pools.table import find_pool
from celeriac.worker.shutdown import EXIT_DONE
from celeriac.worker.slots import Slots
from celeriac.worker.start import Plan
from celeriac.worker.supervisor import Supervisor

_START_WITHIN: Final = 30.0
_END_WITHIN: Final = 5.0

logger: Final = logging.getLogger("celeriac.worker")


class ThreadCrew:
    """Be children in threads of this process. A `Crew`; what it cannot do is to kill one.

    Args:
        worker: the node, as receivers of signals see it.
        pool: what runs in each of them.
    """

    gone = "the threads ended that ran the tasks"
    can_kill = False

    def __init__(self, worker: Worker, pool: type[Pool]) -> None:
        self._worker = worker
        self._pool = pool
        self._threads: dict[int, threading.Thread] = {}
        self._interrupts: dict[int, Interrupts] = {}
        self._notices: list[Notice] = []

    @property
    def running(self) -> bool:
        """Whether one has not ended."""
        return any(thread.is_alive() for thread in self._threads.values())

    def start(self, slots: Slots, capacities: Sequence[int]) -> None:
        packets.receive_in_threads()
        self._told, self._tell = socket.socketpair()
        for number, capacity in enumerate(capacities):
            end, handle = packets.pair()
            line, line_end = packets.pair()
            interrupts = self._interrupts[number] = Interrupts(line_end)
            slots.adopt(number, end, handle, line, capacity=capacity)
            pool = self._pool(self._worker.app, self._worker.hostname, capacity, interrupts)
            name = f"{self._worker.hostname} {self._pool.role}-{number + 1}"
            # A descriptor of its own: the supervisor may close its while a body hangs.
            thread = threading.Thread(target=self._serve, args=(pool, handle.dup()), name=name, daemon=True)
            self._threads[number] = thread
            thread.start()

    def _serve(self, pool: Pool, own: socket.socket) -> None:
        with own:
            say_process_init(self._worker)
            serve(pool, own)
            try:
                own.shutdown(socket.SHUT_RDWR)  # the supervisor has this end open too; only this tells it
            except OSError:
                return  # it has let go of it

    def join(self, timeout: float) -> None:
        """Wait for the threads to end, so many seconds at most."""
        until = time.monotonic() + timeout
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    def spawn(
        self, slot: int, child_end: socket.socket, line: socket.socket, *, place: int = 0, capacity: int = 1
    ) -> None:
        """There are no other threads."""

    def kill(self, slot: int, number: int, *, group: bool = False) -> None:
        """Have a thread obey its orders; else give it up: what it runs goes back to its queue, and runs on here."""
        if number == signal.Signals[ORDER_SIGNAL]:
            self._interrupts[slot].obey()
            return
        self._notices.append(Died(slot, 0, signal.SIGKILL, 0))
        self._tell.send(b"!")

    def fileno(self) -> int:
        return self._told.fileno()

    def notices(self) -> list[Notice] | None:
        try:
            self._told.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> None:
        for interrupts in self._interrupts.values():
            interrupts.close()
        self._told.close()
        self._tell.close()


class _Facts:
    """Know what receivers of signals may ask about the node."""

    def __init__(self, app: Celery, name: str, queues: tuple[str, ...], pool: type[Pool], concurrency: int) -> None:
        self.app = app
        self.name = name
        self.options = NodeOptions(node_name=name)
        self.queues_added: list[str] = []
        self.own_options: dict[str, Any] = {}
        self.pool = pool
        self.concurrency = concurrency
        self._queues = queues

    @property
    def queues(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._queues, *self.queues_added)))


class ThreadWorker:
    """Be a `TestWorker` inside this process.

    Args:
        loglevel: of a log of its own on standard error; None: there is none.
        logfile: where it goes instead.
        stop_grace: seconds that running tasks have at a stop.
    """

    def __init__(
        self,
        app: Celery,
        *,
        hostname: str,
        queues: tuple[str, ...],
        pool: str,
        concurrency: int,
        loglevel: str | int | None,
        logfile: str | None,
        prefetch_multiplier: int | None,
        stop_grace: float,
    ) -> None:
        self.app = app
        self.hostname = hostname
        self.pool = pool
        kind = find_pool(pool, "pool")
        self._capacities = kind.layout(concurrency, None)
        self.concurrency = sum(self._capacities)
        self._facts = _Facts(app, hostname, queues, kind, self.concurrency)
        self._worker = Worker(self._facts, runs_tasks=True)
        self._log = (loglevel, logfile)
        self._prefetch_multiplier = prefetch_multiplier
        self._stop_grace = stop_grace
        self._crew = ThreadCrew(self._worker, kind)
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: Supervisor | None = None
        self._error: BaseException | None = None
        self._code = EXIT_DONE
        self._thread = threading.Thread(target=self._run, name=f"{hostname} supervisor", daemon=True)

    @property
    def queues(self) -> tuple[str, ...]:
        """What it consumes."""
        return self._facts.queues

    def start(self) -> None:
        say_configured(self._worker)
        self.app.load_tasks()
        say_init(self._worker)
        say_set_up(self._worker)
        self.app.broker.open(deadline_at=time.monotonic() + _START_WITHIN)
        self._thread.start()
        until = time.monotonic() + _START_WITHIN
        while not self._ready.wait(0.05) and not self._ended.is_set() and time.monotonic() < until:
            continue
        if self._error is not None:
            raise self._error
        if not self._ready.is_set():
            raise RuntimeError(f"worker {self.hostname} was not ready after {_START_WITHIN:.0f} s")

    def stop(self, timeout: float) -> None:
        if self._loop is not None and self._supervisor is not None and not self._ended.is_set():
            self._loop.call_soon_threadsafe(self._supervisor.stop)
        self._thread.join(timeout + _END_WITHIN)
        self._crew.join(0.0 if self._thread.is_alive() else _END_WITHIN / 10)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive() or self._crew.running:
            raise RuntimeError(
                f"tasks of worker {self.hostname} still run {timeout:g} s after its stop. A thread cannot be killed: "
                "they go on, and what they come to is not stored. Give shutdown_timeout more seconds, or use "
                "pool='prefork', whose tasks are processes"
            )
        if self._code != EXIT_DONE:
            raise RuntimeError(f"worker {self.hostname} failed; its log says why (loglevel='INFO')")

    def reload(self) -> None:
        """Do nothing: the tasks of the app are looked up when they are needed."""

    def _run(self) -> None:
        try:
            with _logging(*self._log), asyncio.Runner(loop_factory=fast_loop()) as runner:
                self._code = runner.run(self._supervise())
        except BaseException as error:  # noqa: BLE001 - `start` and `stop` raise it, in the test's own thread
            self._error = error
        finally:
            self._ended.set()

    async def _supervise(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._supervisor = Supervisor(self.app, self._plan(), self._crew)
        return await self._supervisor.run()

    def _plan(self) -> Plan:
        conf = self.app.conf
        asked = self._prefetch_multiplier
        return Plan(
            node=self.hostname,
            queues=self.queues,
            capacities=self._capacities,
            dispatch=conf.worker_dispatch,
            prefetch_multiplier=conf.worker_prefetch_multiplier if asked is None else asked,
            stop_grace=self._stop_grace,
            accept=conf.accept,
            form=conf.record_form.without_code_of_users(),
            worker=self._worker,
            say_ready=self._ready.set,
            say=lambda text: logger.info("%s", text),
            hears_signals=False,
        )


@contextmanager
def _logging(level: str | int | None, file: str | None) -> Iterator[None]:
    """Have what celeriac logs written as a worker writes it, besides to where it goes already."""
    if level is None and file is None:
        yield
        return
    top = logging.getLogger("celeriac")
    handler = logging.FileHandler(file, encoding="utf-8") if file is not None else logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(LOG_FORMAT, process_name="MainProcess", color=False))
    before = top.level
    top.addHandler(handler)
    top.setLevel((level.upper() if isinstance(level, str) else level) or logging.INFO)
    try:
        yield
    finally:
        top.setLevel(before)
        top.removeHandler(handler)
        handler.close()
