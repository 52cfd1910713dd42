"""Interrupts that come at any moment reach the body, and never the code around it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import threading
import time

import pytest

from celeriac.app.context import Context
from celeriac.app.guard import guarded, interruptible
from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelled
from celeriac.worker.interrupts import _carrier

RUNS = 3_000
TOLD = 60


def count_to(number):
    for _ in range(number):
        len("x")
    return number


def fail_after(number):
    count_to(number)
    raise ValueError(number)


def outcome_of(context, body, number):
    """Run a body, and do around it what would lose an outcome if it were interrupted."""
    try:
        return guarded(context, body, (number,), {})
    except BaseException as exc:  # noqa: BLE001 - whatever it is, it is the outcome
        return exc


@pytest.mark.parametrize("body", [count_to, fail_after])
def test_signals_at_any_moment_raise_in_bodies_only(body):
    context = Context()
    interrupted = 0

    def interrupt(*_):
        if context.in_body:
            raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(RUNS):
            outcome = outcome_of(context, body, number % 50)
            assert not context.in_body
            if isinstance(outcome, SoftTimeLimitExceeded):
                interrupted += 1
            else:
                assert outcome == number % 50 or isinstance(outcome, ValueError)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted


@pytest.fixture
def _no_garbage():
    """Run no callbacks of the garbage collector in bodies: what is raised in one of those is lost, in any program."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage")
@pytest.mark.parametrize("body", [count_to, fail_after])
def test_exceptions_from_other_threads_are_raised_in_bodies_only(body):
    context = Context()
    outcomes: list[object] = []
    enough = threading.Event()

    def work():
        while not enough.is_set():
            outcomes.append(outcome_of(context, body, len(outcomes) % 500))

    thread = threading.Thread(target=work)
    thread.start()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    told = 0
    until = time.monotonic() + 60
    while told < TOLD and thread.is_alive() and time.monotonic() < until:
        ident, carried = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_carrier(TaskCancelled("why", "amy")))
        if context.in_body:
            raise_in(ident, carried)
            told += 1
        time.sleep(0)
    alive = thread.is_alive()
    enough.set()
    thread.join()

    assert alive, "an exception was raised outside of a body, and has ended the thread"
    cancelled = [each for each in outcomes if isinstance(each, TaskCancelled)]
    assert 0 < len(cancelled) <= told
    assert {(each.reason, each.by) for each in cancelled} == {("why", "amy")}


def test_what_came_before_the_body_is_raised_instead_of_it():
    context = Context(interrupt=TaskCancelled("why"))

    with pytest.raises(TaskCancelled):
        guarded(context, lambda: pytest.fail("it has begun"), (), {})

    assert context.cancelled is not None
    assert context.interrupt is None


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


# -- coroutines -----------------------------------------------------------------------------------------------------


async def interrupted_soon(body, exc, context=None):
    """Run a coroutine as a body and interrupt it when it waits."""
    context = context or Context()
    task = asyncio.ensure_future(interruptible(body, context))
    await asyncio.sleep(0.01)
    assert context.driver is not None
    context.driver.interrupt(exc)
    async with asyncio.timeout(60):
        return await task


async def test_a_coroutine_that_waits_is_interrupted_there():
    with pytest.raises(SoftTimeLimitExceeded):
        await interrupted_soon(asyncio.sleep(600), SoftTimeLimitExceeded())


async def test_what_it_waits_for_is_cancelled_and_it_goes_on_as_it_likes():
    ended = []

    async def part():
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("part")

    async def body():
        try:
            await asyncio.gather(part(), part())
        except TaskCancelled as exc:
            await asyncio.sleep(0.01)
            return f"cleaned up after {exc.by}", cancelling()

    context = Context()
    assert await interrupted_soon(body(), TaskCancelled(None, "amy"), context) == ("cleaned up after amy", 0)
    assert ended == ["part", "part"]
    assert context.cancelled is not None


async def test_a_timeout_around_it_is_not_taken_for_the_cause():
    async def body():
        async with asyncio.timeout(60):
            await asyncio.sleep(600)

    with pytest.raises(SoftTimeLimitExceeded):
        await interrupted_soon(body(), SoftTimeLimitExceeded())


async def test_one_that_does_not_wait_any_more_ends_as_it_would():
    context = Context()

    async def body():
        await asyncio.sleep(0)
        assert context.driver is not None
        context.driver.interrupt(TaskCancelled())
        return "done"

    assert await interruptible(body(), context) == "done"
    await asyncio.sleep(0.01)
    assert context.cancelled is None
    assert cancelling() == 0


async def test_one_that_is_told_while_it_works_is_interrupted_when_it_waits_next():
    context = Context()
    steps = []

    async def body():
        await asyncio.sleep(0)
        assert context.driver is not None
        context.driver._throw_soon(SoftTimeLimitExceeded())  # as the loop calls it, between two of its steps
        steps.append("worked on")
        await asyncio.sleep(600)

    with pytest.raises(SoftTimeLimitExceeded):
        async with asyncio.timeout(60):
            await interruptible(body(), context)
    assert steps == ["worked on"]


async def test_what_came_before_a_coroutine_has_begun_is_thrown_into_it():
    with pytest.raises(TaskCancelled):
        await interruptible(asyncio.sleep(600), Context(interrupt=TaskCancelled()))
