from __future__ import annotations

import asyncio
import signal

import pytest

from celeriac.worker.held import Held
from tests.unit.worker.crew import PATIENCE, Children, held, numbers, send, started, until


async def test_what_somebody_had_before_is_sent_when_that_was_foretold_and_others_are_sent_at_once():
    foretold: list[int] = []
    known = asyncio.Event()

    async def foretell(one: Held) -> None:
        foretold.append(one.number)
        await known.wait()

    children = Children(foretell)
    children.slots.start((1, 1))
    await children.slots.lives.up.wait()
    children.slots.add([held(1), held(2, redelivered=True)])
    children.slots.dispatch()
    await until(lambda: foretold)
    assert (children.slots.running, foretold) == (1, [2])

    known.set()

    await until(lambda: children.slots.running == 2)
    assert foretold == [2]
    children.slots.close()
    children.close()


async def test_a_child_runs_as_many_as_it_has_bodies_and_answers_in_any_order(children: Children):
    slots = await started(children, 3)
    send(slots, *(held(number) for number in range(1, 6)))
    runs = [children.read(0) for _ in range(3)]
    assert (numbers(runs), numbers(slots.waiting), slots.idle) == ([1, 2, 3], [4, 5], False)

    children.answer(0, runs[1])

    await until(lambda: numbers(children.ended) == [2])
    assert children.read(0).number == 4
    children.answer(0, runs[2])
    children.answer(0, runs[0])
    await until(lambda: numbers(children.ended) == [2, 3, 1])
    assert slots.running == 2


async def test_children_share_the_bodies_that_run(children: Children):
    slots = await started(children, 2, 2)

    send(slots, *(held(number) for number in range(1, 5)))

    assert {children.read(0).number, children.read(0).number} == {1, 3}
    assert {children.read(1).number, children.read(1).number} == {2, 4}


async def test_an_outcome_that_nobody_asked_for_costs_the_child_its_life(children: Children):
    slots = await started(children, 2)
    send(slots, held(1))
    run = children.read(0)

    children.answer(0, run)
    await until(lambda: children.ended)
    send(slots, held(2))
    children.answer(0, run)

    await until(lambda: children.killed)
    assert children.killed == [(0, signal.SIGKILL, True)]


async def test_a_child_with_nothing_to_do_is_given_what_waits_behind_the_runs_of_another(
    children: Children, monkeypatch
):
    slots = await started(children, 1, 1)
    send(slots, *(held(number, expected=0.004) for number in range(1, 5)))
    runs = children.read(0), children.read(1)
    assert numbers(runs) == [1, 2]

    children.answer(1, runs[1])
    await until(lambda: numbers(children.ended) == [2])
    children.answer(1, children.read(1))

    await until(lambda: numbers(children.ended) == [2, 4])
    await until(lambda: slots.running == 2 and not slots.idle)
    assert children.read(1).number == 3
    with pytest.raises(BlockingIOError):
        children.read(0)


@pytest.mark.usefixtures("hasty")
async def test_what_a_blocked_child_has_not_read_runs_elsewhere_and_nothing_more_is_sent_to_it(children: Children):
    slots = await started(children, 4, 4)
    send(slots, *(held(number) for number in range(1, 5)))
    blocked, other = children.read(0), [children.read(1), children.read(1)]

    await until(lambda: children.has_unread(1))

    assert blocked.number == 1
    assert [*numbers(other), children.read(1).number] == [2, 4, 3]
    send(slots, held(5))
    assert children.read(1).number == 5
    assert slots.running == 5


@pytest.mark.usefixtures("hasty")
async def test_a_blocked_child_gets_work_again_once_it_reads(children: Children, monkeypatch: pytest.MonkeyPatch):
    slots = await started(children, 3)
    send(slots, held(1), held(2))
    children.read(0)
    await until(lambda: numbers(slots.waiting) == [2])
    assert not slots.idle
    # Else a busy machine may take back what it gets before this test has seen it there.
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", PATIENCE)

    children.says_it_reads(0)

    await until(lambda: slots.running == 2)
    assert children.read(0).number == 2


@pytest.mark.usefixtures("hasty")
async def test_the_question_outlives_further_looks_at_what_a_blocked_child_has_not_read(children: Children):
    slots = await started(children, 4)
    send(slots, held(1), held(2), held(3))
    children.read(0), children.read(0)
    await until(lambda: numbers(slots.waiting) == [3])

    assert numbers(slots.withdraw()) == [3]

    children.says_it_reads(0)
    await until(lambda: slots.idle)


async def test_a_child_whose_socket_is_full_gets_the_rest_when_it_has_read(children: Children):
    slots = await started(children, 100)
    send(slots, *(held(number, size=60_000) for number in range(1, 101)))
    sent = slots.running
    assert 0 < sent < 100
    assert not slots.idle

    read = [children.read(0).number for _ in range(sent)]

    await until(lambda: slots.running > sent)
    read += [children.read(0).number for _ in range(slots.running - sent)]
    assert read == list(range(1, len(read) + 1))


async def test_what_a_child_has_not_read_is_taken_out_and_the_rest_of_it_waits_again(children: Children):
    children.slots.start((1,))
    await until(lambda: children.slots.slots)
    sent = [held(number, expected=0.0) for number in range(1, 6)]
    children.slots.add(sent)
    children.slots.dispatch()
    running = children.read(0)

    found = children.slots.take_out([sent[0], sent[2], sent[4]])

    assert numbers(found) == [3, 5]
    assert running.number == 1
    left = []
    while children.has_unread(0):
        left.append(children.read(0).number)
    assert left + numbers(children.slots.waiting) == [2, 4]


async def test_what_no_body_is_free_for_is_behind(children: Children):
    slots = await started(children, 1)

    send(slots, *(held(number, expected=0.0) for number in range(1, 6)))
    assert (len(slots.waiting), slots.behind) == (0, 4)

    slots.add([held(6)])
    assert slots.behind == 5


async def test_what_waits_in_the_node_is_taken_out(children: Children):
    waiting = [held(number) for number in range(1, 4)]
    children.slots.add(waiting)

    assert numbers(children.slots.take_out(waiting[1:2])) == [2]
    assert numbers(children.slots.waiting) == [1, 3]
    assert children.slots.take_out(waiting[1:2]) == []
