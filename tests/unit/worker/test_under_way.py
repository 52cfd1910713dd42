from __future__ import annotations

import signal

from celeriac.exceptions import TimeLimitExceeded
from celeriac.worker.held import Verdict
from celeriac.worker.orders import Interrupt
from tests.unit.worker.crew import Children, held, send, started, until

LATE = Verdict("FAILURE", TimeLimitExceeded(1))


async def test_an_order_reaches_the_child_that_runs_the_message(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    children.read(0)

    assert children.under_way.interrupt(one, Interrupt(1, "soft"))

    assert children.orders(0) == ["soft"]
    assert children.killed == [(0, signal.SIGUSR1, False)]


async def test_what_waits_unread_in_a_child_is_not_ended_there(children: Children):
    slots = await started(children, 1)
    first, second = held(1, expected=0.0001), held(2, expected=0.0001)
    send(slots, first, second)
    children.read(0)

    assert not children.under_way.interrupt(second, Interrupt(2, "soft"))
    assert not children.under_way.kill_run(second, LATE)

    assert children.killed == []
    assert second.verdict is None


async def test_what_has_answered_is_not_ended_any_more(children: Children):
    slots = await started(children, 1)
    first, second = held(1, expected=0.0001), held(2, expected=0.0001)
    send(slots, first, second)
    children.answer(0, children.read(0))

    assert not children.under_way.kill_run(first, LATE)

    assert children.killed == []
    assert children.ended == [first]


async def test_a_killed_run_comes_to_its_verdict_and_its_neighbours_wait_again_uncounted(children: Children):
    slots = await started(children, 3)
    helds = [held(number) for number in range(1, 4)]
    send(slots, *helds)
    for _ in helds:
        children.read(0)

    assert children.under_way.kill_run(helds[1], LATE)
    children.die(0)

    assert children.killed == [(0, signal.SIGKILL, True)]
    assert children.killed_runs == [(2, LATE)]
    assert children.crashed == []
    assert [one.number for one in slots.waiting] == [1, 3]


async def test_a_child_with_a_condemned_run_gets_nothing_more(children: Children):
    slots = await started(children, 2)
    one = held(1)
    send(slots, one)
    children.read(0)

    assert children.under_way.condemn(one, LATE)
    send(slots, held(2))

    assert [each.number for each in slots.waiting] == [2]
    assert not slots.idle


async def test_an_outcome_that_comes_before_the_death_counts(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    run = children.read(0)
    assert children.under_way.kill_run(one, LATE)

    children.answer(0, run)
    children.die(0)

    assert children.ended == [one]
    assert children.killed_runs == []


async def test_a_doomed_child_whose_run_has_ended_otherwise_is_replaced(children: Children):
    slots = await started(children, 1)
    one = held(1)
    send(slots, one)
    run = children.read(0)
    children.under_way.condemn(one, LATE)
    children.under_way.kill_doomed()
    assert children.killed == []
    children.answer(0, run)
    await until(lambda: children.ended)

    children.under_way.kill_doomed()

    assert children.killed == [(0, signal.SIGKILL, True)]
