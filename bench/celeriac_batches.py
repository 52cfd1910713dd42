"""celeriac on SQLite, published in batches of 1,000."""

from __future__ import annotations

from bench.celeriac_sqlite import WORKER, app, call_and_wait, finished, noop, prepare

__all__ = ["WORKER", "call_and_wait", "finished", "prepare", "publish"]

BATCH = 1000
NO_ARGUMENTS: tuple[tuple[()], dict[str, object]] = ((), {})


def publish(count: int) -> None:
    for done in range(0, count, BATCH):
        app.sender.send_many(noop, [NO_ARGUMENTS] * min(BATCH, count - done))
