from __future__ import annotations

import socket

from celeriac.exceptions import TimeLimitExceeded
from celeriac.worker.held import Verdict
from tests.unit.worker.crew import Children, held, numbers, send, started, turns, until

LATE = Verdict("FAILURE", TimeLimitExceeded(1))


async def test_those_who_ran_in_a_child_that_died_run_again_alone_one_at_a_time_uncounted(children: Children):
    slots = await started(children, 3, 3)
    send(slots, *(held(number) for number in range(1, 7)))
    died = [children.read(0).number for _ in range(3)]

    children.die(0)

    await until(lambda: slots.running == 4)
    assert children.crashed == []
    first = children.read(2)
    assert first.number == died[0]
    children.answer(2, first)
    await until(lambda: len(children.ended) == 1 and slots.running == 4)
    second = children.read(2)
    assert second.number == died[1]


async def test_a_suspect_that_kills_its_own_child_is_counted_and_the_next_one_runs(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)
    await until(lambda: slots.running == 1)

    assert children.read(1).number == 1
    children.die(1)

    await until(lambda: slots.running == 1)
    assert numbers(children.crashed) == [1]
    assert children.read(1).number == 2


async def test_the_child_for_suspects_ends_with_them(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)
    for number in (1, 2):
        await until(lambda: slots.running == 1)
        run = children.read(1)
        assert run.number == number
        children.answer(1, run)
        await until(lambda number=number: len(children.ended) == number)

    assert children.ends[1].recv(1, socket.MSG_DONTWAIT) == b""
    children.die(1)
    await turns(10)
    assert slots.alive == 1


async def test_what_was_acked_before_its_run_never_runs_again(children: Children):
    slots = await started(children, 3)
    send(slots, held(1), held(2, acked=True), held(3))
    for _ in range(3):
        children.read(0)

    children.die(0)

    assert numbers(children.crashed) == [2]
    assert len(slots.suspects) == 2


async def test_one_that_ran_by_itself_in_a_child_of_many_bodies_is_the_one(children: Children):
    slots = await started(children, 3)
    send(slots, held(1))
    children.read(0)

    children.die(0)

    assert numbers(children.crashed) == [1]


async def test_what_has_killed_a_child_before_runs_alone_where_children_run_several(children: Children):
    slots = await started(children, 3)

    send(slots, held(1), held(2, crashes=1))

    await until(lambda: slots.running == 2)
    assert (children.read(0).number, children.read(1).number) == (1, 2)


async def test_suspects_are_not_given_back_for_want_of_a_slot_but_at_the_end(children: Children):
    slots = await started(children, 2)
    send(slots, held(1), held(2))
    children.read(0), children.read(0)
    children.die(0)

    assert slots.withdraw(claimed_before=1.0) == []
    assert numbers(slots.withdraw()) == [1, 2]


async def test_a_run_that_was_told_to_end_does_not_begin_again_after_its_neighbour_was_killed(children: Children):
    slots = await started(children, 3)
    helds = [held(number) for number in range(1, 4)]
    send(slots, *helds)
    for _ in helds:
        children.read(0)
    helds[0].if_killed = LATE
    helds[2].is_soft_told = True

    assert children.under_way.kill_run(helds[1], LATE)
    children.die(0)

    assert [number for number, _ in children.killed_runs] == [1, 2]
    assert numbers(slots.waiting) == [3]
    assert not helds[2].is_soft_told  # its next body has not heard of it


async def test_a_run_that_was_told_to_end_is_no_suspect_when_its_child_dies(children: Children):
    slots = await started(children, 2)
    one, other = held(1), held(2)
    send(slots, one, other)
    children.read(0), children.read(0)
    one.if_killed = LATE

    children.die(0)

    await until(lambda: slots.running == 1)
    assert children.killed_runs == [(1, LATE)]
    assert children.read(1).number == 2
