"""Run the command line in this process, and a small shop of tasks for it to work on."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from celeriac.app.application import Celery
from celeriac.brokers.base import Delivery, Incarnation, ResultMeta, Settlement
from celeriac.cli.main import main
from celeriac.wire.results import exception_map, write_record

MODULE = "shop_of_the_cli_tests"


@dataclass(frozen=True)
class Run:
    """What one run of the command line ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Run commands; the environment names the shop as the app."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys = capsys
        self.monkeypatch = monkeypatch

    def __call__(self, *args: str, answer: str = "") -> Run:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        self.capsys.readouterr()
        code = main(args)
        out, err = self.capsys.readouterr()
        return Run(code, out, err)


class Shop:
    """An app with two tasks, in a database of its own, and what a worker would do in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.app = Celery("shop", broker=f"sqlite:///{folder / 'shop.sqlite3'}", set_as_current=False)
        self.app.task(name="shop.pay")(_pay)
        self.app.task(name="shop.remind")(_remind)
        module = ModuleType(MODULE)
        vars(module)["app"] = self.app
        monkeypatch.setitem(sys.modules, MODULE, module)
        monkeypatch.setenv("CELERIAC_APP", MODULE)

    def call(self, *args: Any, queue: str = "celery") -> str:
        return self.app.send_task("shop.pay", args, queue=queue).id

    def kill(self, *args: Any, queue: str = "celery", reason: str = "died of a test") -> str:
        """Publish a call and dead-letter it."""
        task_id = self.call(*args, queue=queue)
        self.settle(queue=queue, reason=reason)
        return task_id

    def settle(self, *, queue: str = "celery", reason: str) -> None:
        """Dead-letter the next message of a queue."""
        asyncio.run(self._settle(queue, reason))

    def claim(self, queue: str = "celery") -> Delivery:
        """Take the next message of a queue, as a worker that goes on holding it."""
        _, (delivery,) = asyncio.run(self._claim(queue))
        return delivery

    def succeed(self, task_id: str, value: Any, *, date_done: str | None = None, **more: Any) -> None:
        record = write_record(task_id=task_id, state="SUCCESS", result=value, date_done=date_done, **more)
        self._store(ResultMeta(task_id=task_id, state="SUCCESS", record=record))

    def fail(self, task_id: str, error: Exception, traceback: str) -> None:
        record = write_record(
            task_id=task_id, state="FAILURE", result=exception_map(error), traceback=traceback, date_done=None
        )
        self._store(ResultMeta(task_id=task_id, state="FAILURE", record=record))

    def _store(self, meta: ResultMeta) -> None:
        assert self.app.backend is not None
        self.app.backend.store([meta])

    def depths(self) -> dict[str, tuple[int, int, int, int]]:
        return {d.queue: (d.ready, d.delayed, d.claimed, d.dead) for d in self.app.broker.depths()}

    async def _claim(self, queue: str) -> tuple[Any, Sequence[Delivery]]:
        consumer = self.app.broker.consumer(Incarnation.begin("w@here"))
        await consumer.open()
        return consumer, (await consumer.claim([queue], limit=1, wait=0)).deliveries

    async def _settle(self, queue: str, reason: str) -> None:
        consumer, deliveries = await self._claim(queue)
        await consumer.settle([Settlement(delivery=delivery, dead_reason=reason) for delivery in deliveries], None)
        await consumer.close()


def _pay(amount: int, currency: str = "EUR") -> int:
    return amount


def _remind(whom: str) -> str:
    return whom
