"""A node that runs more or fewer bodies at once while it works."""

from __future__ import annotations

import logging

import pytest

from celeriac.worker.options import BODIES_MAX
from celeriac.worker.pools.base import divided
from celeriac.worker.resizing import Resizing
from tests.unit.worker.crew import Children, held, numbers, send, started, until


def one_each(concurrency: int) -> tuple[int, ...]:
    return (1,) * concurrency


def in_two(concurrency: int) -> tuple[int, ...]:
    return divided(concurrency, 2)


def room(slots) -> int:
    return sum(slot.capacity for slot in slots.slots)


async def test_a_pool_that_grows_starts_more_children(children: Children):
    slots = await started(children, 1, 1)

    Resizing(slots, one_each).grow(2)
    await until(lambda: room(slots) == 4)

    assert sum(slots.capacities) == 4
    assert [children.told[number] for number in (3, 4)] == [(3, 1), (4, 1)]  # place 2 is that of suspects


async def test_what_waited_begins_in_the_new_children(children: Children):
    slots = await started(children, 1)
    send(slots, held(1), held(2))

    Resizing(slots, one_each).grow(1)
    await until(lambda: 2 in children.ends)
    await until(lambda: children.has_unread(2))

    assert children.read(2).number == 2


async def test_a_pool_that_shrinks_keeps_the_children_that_run_something(children: Children):
    slots = await started(children, 1, 1, 1)
    send(slots, held(1))
    busy = next(number for number in range(3) if children.has_unread(number))

    Resizing(slots, one_each).shrink(2)

    assert [child.slot.number for child in slots.lives.crew()] == [busy]
    assert room(slots) == 1


async def test_what_runs_in_a_child_that_leaves_ends_there(children: Children):
    slots = await started(children, 1, 1)
    send(slots, held(1), held(2))
    runs = {number: children.read(number) for number in (0, 1)}

    Resizing(slots, one_each).shrink(1)
    for number, run in runs.items():
        children.answer(number, run)
    await until(lambda: len(children.ended) == 2)
    [left] = [child.slot.number for child in slots.lives.crew()]
    children.die(1 - left)

    assert [child.slot.number for child in slots.crew()] == [left]
    assert children.crashed == []


async def test_what_waits_in_a_child_that_leaves_goes_to_another(children: Children):
    slots = await started(children, 1, 1)
    send(slots, *(held(number, expected=0.001) for number in range(1, 5)))
    assert slots.running == 4

    Resizing(slots, one_each).shrink(1)

    [stays] = slots.lives.crew()
    left = next(child for child in slots.crew() if child is not stays)
    assert len(left.sent) <= 1
    assert sorted([*left.sent, *stays.sent, *numbers(slots.waiting)]) == [1, 2, 3, 4]


async def test_a_pool_grows_into_the_places_that_it_has_left(children: Children):
    slots = await started(children, 1, 1)
    resizing = Resizing(slots, one_each)

    for _ in range(3):
        resizing.shrink(1)
        [gone] = [child for child in slots.crew() if child.is_leaving]
        children.die(gone.slot.number)
        resizing.grow(1)
        await until(lambda: room(slots) == 2)

    assert len(slots.capacities) == 3  # two, and that for suspects
    assert len(slots.crew()) == 2


async def test_children_of_several_bodies_are_replaced_by_larger_ones(children: Children):
    slots = await started(children, 2, 2)

    Resizing(slots, in_two).grow(2)
    await until(lambda: room(slots) == 6)

    assert sorted(children.told[child.slot.number][1] for child in slots.lives.crew()) == [3, 3]
    assert sum(child.is_leaving for child in slots.crew()) == 2


async def test_a_smaller_successor_has_room_when_its_predecessor_has(children: Children):
    slots = await started(children, 4)
    send(slots, *(held(number) for number in range(1, 5)))
    runs = [children.read(0) for _ in range(4)]

    Resizing(slots, lambda concurrency: (concurrency,)).shrink(2)
    await until(lambda: all(child.ready for child in slots.lives.crew()))
    rooms = [room(slots)]
    for count, run in enumerate(runs, 1):
        children.answer(0, run)
        await until(lambda count=count: len(children.ended) == count)
        rooms.append(room(slots))

    assert rooms == [0, 0, 0, 1, 2]


async def test_all_children_start_anew_after_their_runs(children: Children):
    slots = await started(children, 1, 1)
    send(slots, held(1))
    busy = next(number for number in (0, 1) if children.has_unread(number))
    run = children.read(busy)

    Resizing(slots, one_each).replace()
    await until(lambda: all(child.ready for child in slots.lives.crew()))
    assert room(slots) == 1  # the other one waits for the run
    children.answer(busy, run)
    await until(lambda: room(slots) == 2)

    assert numbers(children.ended) == [1]
    assert {child.slot.number for child in slots.lives.crew()}.isdisjoint({0, 1})


@pytest.mark.parametrize("change", [-1, -2, BODIES_MAX])
async def test_at_least_one_body_is_left_and_not_too_many(children: Children, change: int):
    slots = await started(children, 1)
    resizing = Resizing(slots, one_each)

    with pytest.raises(ValueError, match="this one runs 1"):
        resizing.grow(change) if change > 0 else resizing.shrink(-change)

    assert room(slots) == 1


async def test_a_pool_that_cannot_says_so(children: Children):
    slots = await started(children, 1)

    with pytest.raises(ValueError, match="cannot run 2 tasks"):
        Resizing(slots, lambda concurrency: (1,)).grow(1)


async def test_the_child_for_suspects_stays_apart(children: Children, caplog: pytest.LogCaptureFixture):
    slots = await started(children, 2)
    slots.add([held(1, crashes=1)])
    slots.dispatch()
    await until(lambda: 1 in children.ends and children.has_unread(1))

    with caplog.at_level(logging.INFO, "celeriac.worker"):
        Resizing(slots, lambda concurrency: (concurrency,)).grow(1)

    assert children.read(1).number == 1
    alone = slots.lives.children[1]
    assert (alone.is_alone, alone.is_leaving) == (True, False)
    assert "Running 3 tasks at once from now on, instead of 2" in caplog.text
