from __future__ import annotations

import asyncio
import sys
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.brokers.base import Incarnation, ResultMeta
from celeriac.message import Message
from celeriac.wire.results import write_record


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch, tmp_path):
    """Let no test leave a current app, a folder to import from or a module of its own to the next one."""
    monkeypatch.setattr("celeriac.app.current._current", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def app():
    """An app whose messages and results nobody else sees."""
    with Celery("shop", broker=f"memory://{uuid4()}") as app:
        yield app


@pytest.fixture
def sent(app):
    """Take what was sent to a queue since the last look, in order."""

    def take(queue: str = "celery") -> list[Message]:
        return asyncio.run(_claim(app, queue))

    return take


async def _claim(app: Celery, queue: str) -> list[Message]:
    consumer = app.broker.consumer(Incarnation.begin("test"))
    await consumer.open()
    claim = await consumer.claim([queue], limit=1000, wait=0)
    return [delivery.message for delivery in claim.deliveries]


@pytest.fixture
def store(app):
    """Record what a run came to, as a worker would."""

    def record(task_id: str, state: str, result: Any = None, **more: Any) -> None:
        written = write_record(task_id=task_id, state=state, result=result, date_done=None, **more)
        app.backend.store([ResultMeta(task_id=task_id, state=state, record=written)])

    return record
