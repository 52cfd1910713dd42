"""What brokers tell people of messages that wait for their time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celery
from celeriac.brokers.base import Incarnation
from celeriac.testing.worlds import Node

numbers = itertools.count()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Celery]:
    urls: dict[str, Any] = {
        "memory": lambda: f"memory://delayed-{next(numbers)}",
        "sqlite": lambda: f"sqlite:///{tmp_path}/work.db",
        "redis": lambda: f"{request.getfixturevalue('redis_url')}/14",
    }
    app = Celery("shop", broker=urls[request.param](), backend="disabled", set_as_current=False)
    node = Node(app.broker.consumer(Incarnation.begin("w1@host")))
    node.open()  # else future messages wait where Celery's workers look for them
    yield app
    node.close()
    node.stop()
    app.close()


def test_those_of_some_queues_are_told_the_next_ones_first(app: Celery):
    now = time.time()
    for queue, seconds in (("a", 300), ("b", 200), ("c", 100), ("a", 400)):
        app.send_task("shop.pay", (seconds,), queue=queue, countdown=seconds)
    app.send_task("shop.pay", (0,), queue="a")

    found = app.broker.delayed(["a", "b"])

    assert [(one.queue, round((one.eta_at or 0) - now, -1)) for one in found] == [("b", 200), ("a", 300), ("a", 400)]
    assert b"shop.pay" in found[0].headers
    assert [one.queue for one in app.broker.delayed(["a", "b"], limit=1)] == ["b"]
    assert app.broker.delayed(["nobody"]) == []
    assert app.broker.delayed([]) == []
