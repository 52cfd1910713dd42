from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest

from celeriac.worker.recycling import Recycling
from celeriac.worker.stalled import StalledWatch
from tests.unit.worker.crew import Children, close, held, numbers, send, started, until

LOOK_EVERY = 0.01


@pytest.fixture
async def watch(children: Children, monkeypatch) -> AsyncIterator[StalledWatch]:
    monkeypatch.setattr("celeriac.worker.stalled._LOOK_EVERY", LOOK_EVERY)
    made = StalledWatch(children.slots)
    made.start()
    yield made
    made.stop()


async def looks(count: int) -> None:
    await asyncio.sleep(count * LOOK_EVERY * 1.5)


@pytest.mark.usefixtures("watch")
async def test_a_child_that_does_not_read_is_killed_and_what_it_was_sent_waits_for_others(children: Children):
    children.slots.start((1,))
    await children.slots.lives.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert [one.number for one in children.slots.waiting] == [1]
    assert children.slots.running == 0
    assert not children.slots.idle, "nothing is sent to it any more"
    await looks(10)
    assert len(children.killed) == 1


@pytest.mark.usefixtures("watch")
async def test_its_successor_runs_what_it_did_not_read_and_nothing_has_crashed(children: Children):
    children.slots.start((1,))
    await children.slots.lives.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    await until(lambda: children.killed)

    children.die(0)

    await until(lambda: children.slots.running == 1)
    assert children.read(0).number == 1
    assert children.crashed == []


@pytest.mark.usefixtures("watch")
async def test_a_child_whose_run_takes_long_is_left_alone(children: Children):
    children.slots.start((1,))
    await children.slots.lives.up.wait()
    children.slots.add([held(1)])
    children.slots.dispatch()
    run = children.read(0)

    await looks(20)

    assert children.killed == []
    children.answer(0, run)
    await until(lambda: children.ended)


@pytest.mark.usefixtures("watch")
async def test_a_child_that_reads_now_and_then_is_left_alone(children: Children):
    children.slots.start((1,))
    await children.slots.lives.up.wait()
    children.slots.add([held(number) for number in range(1, 11)])
    children.slots.dispatch()
    for number in range(1, 11):
        await looks(2)
        children.answer(0, children.read(0))
        await until(lambda number=number: len(children.ended) == number)

    assert children.killed == []


@pytest.mark.usefixtures("hasty", "watch")
async def test_a_child_that_nothing_runs_in_and_that_reads_no_more_is_killed_for_it(children: Children):
    slots = await started(children, 3)
    send(slots, held(1), held(2))

    await until(lambda: children.killed)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert (numbers(slots.waiting), slots.running) == ([1, 2], 0)


async def test_a_child_whose_outcome_has_just_come_is_not_killed_for_its_long_run(
    children: Children, watch: StalledWatch
):
    slots = await started(children, 1)
    watch.stop()
    send(slots, held(1))
    run = children.read(0)
    child = slots.lives.children[0]
    while not child.is_stuck(5):
        pass

    children.answer(0, run)  # the loop has not come to read it when it looks
    watch._look()

    assert numbers(children.ended) == [1]
    assert children.killed == []


async def test_looking_goes_on_when_a_child_is_replaced_for_what_a_look_has_read(monkeypatch):
    monkeypatch.setattr("celeriac.worker.recycling.memory_kib", lambda pid: 201)
    children = Children(recycling=Recycling(max_memory_kib=200))
    slots = await started(children, 1)
    watch = StalledWatch(slots)
    send(slots, held(1))
    run = children.read(0)
    while not slots.lives.children[0].is_stuck(5):
        pass
    children.answer(0, run)

    watch._look()

    assert (numbers(children.ended), slots.alive) == ([1], 2)
    watch.stop()
    close(children)
