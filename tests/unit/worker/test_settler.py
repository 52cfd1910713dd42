from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.brokers.base import Incarnation, Settlement
from celeriac.brokers.memory.broker import MemoryBroker
from celeriac.message import Message
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.worlds import a_result
from celeriac.wire.protocol import Call, Intake, write_message
from celeriac.worker.counting import Counting
from celeriac.worker.held import Held, Holdings
from celeriac.worker.settler import Ending, Settler
from tests.unit.worker.crew import turns


class Node:
    """Hold some messages of a broker in memory, and count the batches in which they are settled."""

    def __init__(self) -> None:
        self.is_busy = False
        self.broker = MemoryBroker("memory://")
        self.consumer = self.broker.consumer(Incarnation.begin("w1@here"))
        self.holdings = Holdings()
        self.left_after: list[int] = []
        self.told: list[str] = []
        self.settler = Settler(
            self.consumer,
            self.broker,
            None,
            self.holdings,
            on_settled=lambda: self.left_after.append(len(self.holdings)),
            done_at=lambda: "2026-01-01T00:00:00+00:00",
            on_ended=lambda held, published: self.told.append(held.delivery.message.task_id),
            gather_for=lambda: 0.5 if self.is_busy else 0.0,
        )

    async def hold(self, count: int) -> list[Held]:
        messages = [Message(task_id=f"t{number}", queue="q", headers=b"{}", body=b"") for number in range(count)]
        self.broker.publish(messages, deadline_at=time.monotonic() + 5)
        await self.consumer.open()
        claim = await self.consumer.claim(["q"], limit=count, wait=1.0)
        facts = Intake("t", "t", None, None, 0, None, 2)
        return [self.holdings.add(delivery, facts, now=0.0, expected=0.0) for delivery in claim.deliveries]

    def end(self, held: Held) -> None:
        self.settler.add(Ending(held, Settlement(delivery=held.delivery)))


@pytest.fixture
async def node():
    made = Node()
    made.settler.start()
    yield made
    assert await made.settler.stop(1.0)
    await made.consumer.close()


async def settled(node: Node, *, left: int) -> None:
    async with asyncio.timeout(60):
        while len(node.holdings) > left:
            await asyncio.sleep(0)


async def test_outcomes_that_come_one_by_one_are_settled_together(node: Node):
    first, *others = await node.hold(10)

    node.end(first)
    for held in others:
        await asyncio.sleep(0)
        node.end(held)

    await settled(node, left=0)
    assert node.left_after == [0]


async def test_where_many_runs_are_about_to_end_they_are_settled_together(node: Node):
    first, *others = await node.hold(10)
    node.is_busy = True

    node.end(first)
    for held in others:
        await turns(3)
        node.end(held)

    await settled(node, left=0)
    assert node.left_after == [0]


async def test_one_outcome_does_not_wait_for_those_that_do_not_come(node: Node):
    first, second = await node.hold(2)
    node.end(first)

    await settled(node, left=1)
    node.end(second)

    await settled(node, left=0)
    assert node.left_after == [1, 0]


async def test_outcomes_that_never_cease_are_settled_all_the_same(node: Node):
    helds = await node.hold(200)

    for held in helds:
        node.end(held)
        await asyncio.sleep(0)

    await settled(node, left=0)
    assert 200 // 40 <= len(node.left_after) <= 200 // 8


async def test_a_member_of_a_chord_whose_outcome_the_store_refuses_is_counted_as_failed():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        body = {"task": "shop.total", "args": [], "kwargs": {}, "options": {"task_id": "body"}}
        call = Call(task="shop.pay", id="m-1", queue="q", group="g", group_index=0, chord=body)
        app.broker.publish([write_message(call, origin="test")], deadline_at=time.monotonic() + 5)
        backend, consumer, holdings = app.backend, app.broker.consumer(Incarnation.begin("w1@here")), Holdings()
        assert backend is not None
        await consumer.open()
        [delivery] = (await consumer.claim(["q"], limit=1, wait=1.0)).deliveries
        form = app.conf.record_form
        refusing: Any = Refusing(consumer)
        settler = Settler(
            refusing,
            app.broker,
            backend,
            holdings,
            on_settled=lambda: None,
            done_at=lambda: "2026-01-01T00:00:00+00:00",
            form=form,
            counting=Counting(app, form=form),
        )
        held = holdings.add(delivery, Intake("shop.pay", "m-1", None, None, 0, None, 2), now=0.0, expected=0.0)
        settler.start()

        settler.add(Ending(held, Settlement(delivery=delivery, result=a_result("m-1", SUCCESS))))

        async with asyncio.timeout(60):
            while len(holdings):
                await asyncio.sleep(0)
        assert await settler.stop(1.0)
        await consumer.close()
        [[member]] = backend.members("g")
        assert (member.task_id, member.state) == ("m-1", FAILURE)
        assert b"too large for this store" in member.item


class Refusing:
    """Be a consumer whose store takes no success."""

    def __init__(self, real: Any) -> None:
        self._real = real

    async def settle(self, settlements: Any, results: Any) -> Any:
        if any(one.result is not None and one.result.state == SUCCESS for one in settlements):
            raise ValueError("too large for this store")
        return await self._real.settle(settlements, results)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def test_ends_are_told_when_they_are_stored(node: Node):
    watched, unwatched = await node.hold(2)
    watched.is_watched = True

    node.end(watched)
    node.end(unwatched)
    assert node.told == []
    await settled(node, left=0)

    assert node.told == [watched.delivery.message.task_id]


async def test_ends_that_the_store_refuses_are_not_told(node: Node):
    [held] = await node.hold(1)
    held.is_watched = True
    await node.consumer.open()  # as a new owner: what the old one held belongs to others

    node.end(held)
    await settled(node, left=0)

    assert node.told == []
