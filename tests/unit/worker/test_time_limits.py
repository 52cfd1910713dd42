from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.exceptions import TimeLimitExceeded
from celeriac.states import FAILURE
from celeriac.wire.protocol import Intake
from celeriac.worker import packets
from celeriac.worker.held import Held, TimeLimit
from celeriac.worker.time_limits import TimeKeeper, TimeLimits, concern_of
from tests.unit.worker.crew import Children, held, until


@pytest.fixture
def app():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as made:
        made.task(name="free")(lambda: None)
        made.task(name="bound", time_limit=5, soft_time_limit=3)(lambda: None)
        yield made


def asking(name: str, hard: float | None = None, soft: float | None = None) -> Intake:
    return Intake(name, "t", None, None, 0, None, 2, time_limit=hard, soft_time_limit=soft)


@pytest.mark.parametrize(
    ("facts", "node", "limit"),
    [
        (asking("free"), (None, None), None),
        (asking("free"), (9, 8), TimeLimit(9, 8)),
        (asking("bound"), (9, 8), TimeLimit(5, 3)),
        (asking("bound", 2, 1), (9, 8), TimeLimit(2, 1)),
        (asking("bound", hard=7), (None, None), TimeLimit(7, 3)),
        (asking("free", soft=1), (9, None), TimeLimit(9, 1)),
        (asking("free", 0, 0), (None, None), None),
    ],
)
def test_the_call_counts_before_the_task_and_the_task_before_the_node(app, facts, node, limit):
    limits = TimeLimits(app.tasks, hard=node[0], soft=node[1])

    assert limits.of(facts) == limit
    assert limits.of(facts) == limit


@pytest.mark.parametrize("pool", ["threads", "asyncio", "solo"])
def test_what_a_pool_cannot_keep_is_said(app, pool):
    limits = TimeLimits(app.tasks, hard=None, soft=None)

    assert concern_of(limits, "prefork") is None
    said = concern_of(limits, pool)
    assert said is not None
    assert pool in said


def test_nothing_is_said_where_nothing_has_limits():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        assert concern_of(TimeLimits(app.tasks, hard=None, soft=None), "threads") is None
        assert concern_of(TimeLimits(app.tasks, hard=1, soft=None), "threads") is not None


def test_soft_limits_that_hard_ones_come_before_are_named(app):
    app.task(name="odd", time_limit=3, soft_time_limit=4)(lambda: None)

    assert TimeLimits(app.tasks, hard=None, soft=None).vain() == ["task 'odd': soft 4 s, hard 3 s"]
    assert TimeLimits({}, hard=1, soft=5).vain() == ["this node: soft 5 s, hard 1 s"]
    assert TimeLimits({}, hard=5, soft=1).vain() == []


# -- when they are over ---------------------------------------------------------------------------------------------


@pytest.fixture
async def children():
    made = Children()
    yield made
    made.slots.close()
    made.close()


def limited(number: int, hard: float | None, soft: float | None = None) -> Held:
    one = held(number)
    one.time_limit = TimeLimit(hard, soft)
    return one


async def running(children: Children, keeper: TimeKeeper, *helds: Held) -> None:
    children.slots.start((1,))
    await children.slots.lives.up.wait()
    children.slots.add(helds)
    children.slots.dispatch()
    for one in helds:
        if one.time_limit is not None:
            keeper.note_sent(one.time_limit)


async def test_a_run_is_told_once_and_then_killed(children: Children):
    keeper = TimeKeeper(children.under_way)
    one = limited(1, 0.1, 0.05)
    await running(children, keeper, one)
    children.read(0)

    await until(lambda: one.verdict)

    assert children.orders(0) == ["soft"]
    assert one.verdict is not None
    assert (one.verdict.state, repr(one.verdict.error)) == (FAILURE, repr(TimeLimitExceeded(0.1)))
    children.die(0)
    assert [number for number, _ in children.killed_runs] == [1]
    assert children.crashed == []
    keeper.stop()


async def test_what_waits_unread_uses_nothing_up(children: Children):
    keeper = TimeKeeper(children.under_way)
    first, second = held(1, expected=0.0001), limited(2, 0.05)
    second.expected = 0.0001
    await running(children, keeper, first, second)
    children.read(0)
    await until(lambda: children.slots.running == 1)  # the second one was taken back

    assert second.verdict is None
    assert [one.number for one in children.slots.waiting] == [2]
    keeper.stop()


async def test_a_run_that_has_answered_is_left_alone(children: Children):
    keeper = TimeKeeper(children.under_way)
    one = limited(1, 0.03)
    await running(children, keeper, one)
    children.answer(0, children.read(0))
    await until(lambda: children.ended)

    keeper._look()

    assert one.verdict is None
    assert children.killed == []
    keeper.stop()


async def test_where_nothing_can_be_killed_the_hard_limit_is_told(children: Children):
    keeper = TimeKeeper(children.under_way, can_kill=False)
    one = limited(1, 0.03)
    await running(children, keeper, one)
    children.read(0)

    await until(lambda: one.is_hard_told)

    assert children.orders(0) == ["hard"]
    assert one.verdict is None
    keeper.stop()


async def test_what_has_begun_while_the_node_was_late_has_not_used_up_the_time_before(children: Children):
    keeper = TimeKeeper(children.under_way)
    first, second = held(1, expected=0.0001), limited(2, 5.0)
    second.expected = 0.0001
    await running(children, keeper, first, second)
    children.answer(0, children.read(0))
    assert children.read(0).number == 2
    second.began_at -= 60  # it was sent long ago, and nobody has heard of the first one's end

    keeper._look()

    assert children.ended == [first]
    assert second.verdict is None
    assert children.killed == []
    keeper.stop()


def fill(line) -> None:
    """Leave no room in a child's line."""
    with contextlib.suppress(BlockingIOError):
        while True:
            packets.send(line, b"\x90", packets.DONT_WAIT)


@pytest.mark.parametrize(("can_kill", "limits", "kind"), [(True, (60, 0.01), "soft"), (False, (0.01, None), "hard")])
async def test_a_run_that_cannot_be_told_now_is_told_as_soon_as_there_is_room(
    children: Children, can_kill, limits, kind
):
    keeper = TimeKeeper(children.under_way, can_kill=can_kill)
    one = limited(1, *limits)
    await running(children, keeper, one)
    children.read(0)
    line = children.slots.lives.children[0].line
    fill(line)
    await asyncio.sleep(0.02)
    keeper._look()
    assert (one.is_soft_told, one.is_hard_told) == (False, False)

    children.forget_orders(0)

    await until(lambda: one.is_soft_told or one.is_hard_told)
    assert children.orders(0) == [kind]
    keeper.stop()
