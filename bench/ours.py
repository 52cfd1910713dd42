"""What celeriac's entrants have in common: the tasks, the worker's command, and how calls are published.

The worker imports this as a part of its app, so nothing is imported here that a small app would not.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.bodies import compute, nap
from bench.counting import count, inc
from celeriac import Celery
from celeriac.app.options import CallOptions

NO_ARGUMENTS: Final[tuple[tuple[()], dict[str, object]]] = ((), {})


def noop() -> None: ...


def late(due_at: float) -> float:
    """Return by how many seconds this run began after it was due."""
    return time.time() - due_at


async def anoop() -> None: ...


async def doze(seconds: float) -> float:
    """Sleep, and return the instant at which that was over."""
    await asyncio.sleep(seconds)
    return time.time()


def leave(last_words: str) -> None:
    """Write down when, and take the process along."""
    Path(last_words).write_text(str(time.time()))
    os._exit(1)


class Ours:
    """The tasks of the benchmark in an app, called as the environment says.

    `BENCH_TASK` is the name of the task that `publish` calls (`noop`), `BENCH_BATCH` how many calls it makes at once
    (1), `BENCH_BUSY` over how many queues, `q0` and so on, it spreads them (0: the default one). `BENCH_WORKER` are
    further arguments for the worker.
    """

    def __init__(self, app: Celery, module: str) -> None:
        self.app = app
        self.worker = [
            *(sys.executable, "-m", "celeriac", "-A", module, "worker", "-c", "2", "-l", "warning"),
            *shlex.split(os.environ.get("BENCH_WORKER", "")),
        ]
        self.noop, self.late = app.task(noop), app.task(late)
        self.doze, self.leave = app.task(doze), app.task(acks_late=False)(leave)
        self.inc, self.count = app.task(inc), app.task(count)
        tasks = {"noop": self.noop, "anoop": app.task(anoop), "nap": app.task(nap), "compute": app.task(compute)}
        self._task = tasks[os.environ.get("BENCH_TASK", "noop")]
        self._batch = int(os.environ.get("BENCH_BATCH", "1"))
        self._queues = [f"q{number}" for number in range(int(os.environ.get("BENCH_BUSY", "0")))]

    def publish(self, count: int) -> None:
        """Call the task `count` times."""
        if self._batch == 1:
            for _ in range(count):
                self._task.delay()
            return
        for number, done in enumerate(range(0, count, self._batch)):
            options: CallOptions = {"queue": self._queues[number % len(self._queues)]} if self._queues else {}
            self.publish_batch(min(self._batch, count - done), options)

    def publish_batch(self, count: int, options: CallOptions) -> None:
        """Call the task `count` times at once."""
        self.app.sender.send_many(self._task, [NO_ARGUMENTS] * count, options)

    def call_and_wait(self) -> None:
        """Call the task that does nothing, and return when its result is here."""
        self.noop.delay().get(timeout=10)

    def call_late(self, due_at: float) -> Any:
        """Have a run begin at an instant; its result says how late it was, in seconds."""
        return self.late.apply_async((due_at,), eta=datetime.fromtimestamp(due_at, UTC))
