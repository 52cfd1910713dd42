"""Elections among nodes that hear each other over the bus of the memory broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from celeriac import Celery
from celeriac.brokers.topics import Topic
from celeriac.wire.events import made, notice_of
from celeriac.wire.notices import Notice
from celeriac.worker import elections
from celeriac.worker.elections import Elections

numbers = itertools.count()
ELECT = Topic("celeryev", "worker.elect")


class Node:
    """Take part in elections, with a clock of its own."""

    def __init__(self, app: Celery, name: str, clock: int = 1) -> None:
        self.did: list[tuple[str, Any]] = []
        self.name = name
        self._clock = clock
        self._app = app
        self._handlers = {"note": lambda action: self.did.append(("note", action))}
        self.elections = Elections(app, name, self, self._handlers)

    def tell(self, kind: str, facts: Any) -> None:
        event = made(kind, facts, hostname=self.name, pid=os.getpid(), clock=self._clock, at=time.time(), utcoffset=0.0)
        self._app.bus.broadcast(
            [notice_of(event, exchange="celeryev", hostname=self.name)], deadline_at=time.monotonic() + 5
        )

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Node]:
        async with self._app.bus.station() as station:
            heard = await station.subscribe([self.elections.topic], deadline_at=time.monotonic() + 5)
            hearing = asyncio.create_task(self._hear(heard))
            yield self
            hearing.cancel()
            self.elections.stop()

    async def _hear(self, heard: Any) -> None:
        async for notice in heard:
            self.elections.hear(notice)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr(elections, "_ACK_AFTER", 0.05)
    return Celery("shop", broker=f"memory://elections-{next(numbers)}", set_as_current=False, worker_election_wait=0.3)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_one_node_of_several_does_it_and_only_once(app):
    nodes = [Node(app, f"w{number}@here", clock) for number, clock in enumerate([4, 2, 2, 9])]
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node.at_work())

        for id in ("first", "second"):
            for node in nodes:
                node.elections.stand(id, "note", {"for": id})
        await until(lambda: len(nodes[1].did) == 2)
        nodes[0].elections.stand("first", "note", "again")  # that one is over
        await until(lambda: all(not node.elections._open for node in nodes))

    assert sorted(action["for"] for _, action in nodes[1].did) == ["first", "second"]
    assert [node.did for node in (nodes[0], nodes[2], nodes[3])] == [[], [], []]


async def test_the_winner_sends_the_signature_of_a_task(app):
    task = app.task(name="shop.pay")(lambda amount: amount)
    async with Node(app, "w1@here").at_work() as node:
        node.elections.stand("id-1", "task", dict(task.s(5).set(task_id="id-1")))
        await until(lambda: any(depth.ready for depth in app.broker.depths()))


async def test_what_nobody_knows_is_logged_and_what_fails_as_well(app, caplog):
    caplog.set_level(logging.INFO, logger="celeriac.worker")
    async with Node(app, "w1@here").at_work() as node:
        node.elections.stand("a", "nonesuch", None)
        node.elections.stand("b", "task", "no signature")
        await until(lambda: "(b) failed" in caplog.text.replace("'", "") and "'nonesuch'" in caplog.text)

    assert "the election 'a' is about the topic 'nonesuch', which nothing here does" in caplog.text
    assert "I won the election 'a'" in caplog.text
    assert "takes a signature" in caplog.text


async def test_workers_of_celery_are_answered_and_those_of_ours_are_not(app):
    async with app.bus.station() as station, Node(app, "w1@here").at_work() as node:
        heard = await station.subscribe([Topic("celeryev", "worker.elect.ack")], deadline_at=time.monotonic() + 5)

        node.elections.stand("e", "note", 1)
        theirs = {"id": "e", "topic": "note", "action": 1, "cver": 1}
        node.tell("worker-elect", theirs)

        async with asyncio.timeout(20):
            [answer] = await heard.hear()
        await until(lambda: not node.elections._open)
        assert json.loads(answer.body)["id"] == "e"
        assert await heard.hear(timeout=0) == []


async def test_what_is_no_part_of_an_election_is_logged_once_and_ignored(app, caplog):
    node = Node(app, "w1@here")
    strange = [b"", b"[", b"7", b'{"type": "worker-elect"}', json.dumps(made("worker-elect", {"id": []},
        hostname="x", pid=1, clock=1, at=1.0, utcoffset=0.0)).encode()]  # fmt: skip

    for body in strange:
        node.elections.hear(Notice(exchange="celeryev", routing_key="worker.elect", body=body))

    assert node.elections._open == {}
    assert caplog.text.count("ignored what is no part of an election") == 1
