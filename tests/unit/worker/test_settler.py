from __future__ import annotations

import asyncio
import time

import pytest

from celeriac.brokers.base import Incarnation, Settlement
from celeriac.brokers.memory.broker import MemoryBroker
from celeriac.message import Message
from celeriac.wire.protocol import Intake
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
        self.settler = Settler(
            self.consumer,
            self.broker,
            None,
            self.holdings,
            on_settled=lambda: self.left_after.append(len(self.holdings)),
            done_at=lambda: "2026-01-01T00:00:00+00:00",
            more_is_coming=lambda: self.is_busy,
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
    async with asyncio.timeout(10):
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
