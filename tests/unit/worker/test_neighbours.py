"""Steps of users hear which other nodes come, go, and fall silent."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import Any

from celeriac import Celery
from celeriac.app.events import seen
from celeriac.wire.events import made, notice_of
from celeriac.wire.notices import Notice
from celeriac.worker.instance import NodeHandlers
from celeriac.worker.neighbours import Neighbours

numbers = itertools.count()


def event(kind: str, node: str) -> Notice:
    said = made(kind, {"freq": 2.0}, hostname=node, pid=1, clock=1, at=time.time(), utcoffset=0.0)
    return notice_of(said, exchange="celeryev", hostname=node)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_steps_hear_of_other_nodes(monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="celeriac.worker")
    told: list[tuple[str, str]] = []
    on = NodeHandlers()
    assert not on
    on.node_join.add(lambda worker: told.append(("join", worker.hostname)))
    on.node_join.add(lambda worker: 1 / 0)
    on.node_leave.add(lambda worker: told.append(("leave", worker.hostname)))
    on.node_lost.add(lambda worker: told.append(("lost", worker.hostname)))
    assert on
    app = Celery("shop", broker=f"memory://neighbours-{next(numbers)}", set_as_current=False)
    neighbours = Neighbours(app, "w1@here", on)
    neighbours.start()

    for kind, node in (
        ("worker-online", "w1@here"),
        ("worker-online", "w2@here"),
        ("worker-heartbeat", "w2@here"),
        ("worker-elect", "w9@here"),
        ("worker-heartbeat", "w3@here"),
        ("worker-offline", "w2@here"),
    ):
        neighbours.hear(event(kind, node))
    neighbours.hear(Notice(exchange="celeryev", routing_key="worker.online", body=b"["))
    neighbours.look()
    monkeypatch.setattr(seen.Worker, "alive", False)
    neighbours.look()
    neighbours.look()

    expected = [("join", "w2@here"), ("join", "w3@here"), ("leave", "w2@here"), ("lost", "w3@here")]
    await until(lambda: told == expected)
    await until(lambda: caplog.text.count("what a step wants to hear of other nodes failed") == 2)
    assert "missed heartbeat from w3@here" in caplog.text
    await neighbours.stop()
