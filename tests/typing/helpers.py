"""What a type checker knows of the helpers for tests; see `calls.py`."""

from __future__ import annotations

from typing import assert_type

from celeriac import AsyncResult, Celery
from celeriac.testing import (
    ManualClock,
    Published,
    TestApp,
    assert_not_published,
    assert_published,
    in_memory,
    published,
    start_worker,
)

app = TestApp("shop", {"task_default_queue": "q"}, clock=ManualClock(), enable_logging=True)


@app.task
def pay(amount: int) -> str:
    return str(amount)


assert_type(assert_published(app, pay, 12, currency="EUR"), Published)
assert_type(published(app, "shop.pay"), list[Published])
assert_not_published(app)
assert_type(pay.delay(12), AsyncResult[str])

with in_memory(app, clock=ManualClock()) as same, start_worker(app, 2, "threads", queues=["q"]) as worker:
    assert_type(same, Celery)
    assert_type(worker.hostname, str)

TestApp(clock="now")  # type: ignore[arg-type]
start_worker(app, shutdown_timeout="soon")  # type: ignore[arg-type]
published(app, 3)  # type: ignore[arg-type]
