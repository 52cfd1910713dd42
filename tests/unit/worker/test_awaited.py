from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from celeriac import Celery, Task, current_task
from celeriac.wire.results import read_record
from celeriac.worker import packets
from celeriac.worker.awaited import AwaitingExecutor
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.runs import Run


@pytest.fixture
def app():
    return Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)


@pytest.fixture
def executed(app):
    """Run calls of tasks at the same time in a loop of their own; return their outcomes."""
    ours, theirs = packets.pair()

    async def run_all(calls):
        with ThreadPoolExecutor(4, thread_name_prefix="beside") as threads:
            executor = AwaitingExecutor(app, "w@here", Interrupts(theirs), threads)
            runs = [
                Run(number, app.builder.build(task, args, {}), redelivered=False, crashes=0)
                for number, (task, *args) in enumerate(calls, 1)
            ]
            return await asyncio.gather(*map(executor.run, runs))

    yield lambda *calls: asyncio.run(run_all(calls))
    ours.close()
    theirs.close()


def value(outcome):
    assert outcome.state == "SUCCESS"
    return read_record(outcome.record).result


def test_a_coroutine_runs_in_the_loop_and_a_plain_function_in_a_thread_beside_it(app, executed):
    @app.task
    async def waits():
        return threading.current_thread().name

    @app.task
    def blocks():
        return threading.current_thread().name

    inside, beside = executed((waits,), (blocks,))

    assert value(inside) == threading.current_thread().name
    assert value(beside).startswith("beside")


def test_runs_that_wait_do_so_at_the_same_time(app, executed):
    met = []

    @app.task
    async def meets(others):
        met.append(current_task.request.id)
        while len(met) < others:
            await asyncio.sleep(0)
        return current_task.request.id

    outcomes = executed(*[(meets, 20)] * 20)

    assert len(met) == 20
    assert set(map(value, outcomes)) == set(met)


def test_what_a_plain_wrapper_returns_is_awaited_in_the_loop_with_its_own_run(app, executed):
    async def tell():
        await asyncio.sleep(0)
        return [threading.current_thread().name, current_task.request.task]

    @app.task(name="shop.wrapped")
    @functools.wraps(tell)
    def wrapped():
        return tell()

    app.tasks["shop.wrapped"].is_async = False  # as where nothing shows that it returns a coroutine

    (outcome,) = executed((wrapped,))

    assert value(outcome) == [threading.current_thread().name, "shop.wrapped"]


@pytest.mark.parametrize("kind", ["waits", "blocks"])
def test_hooks_that_are_coroutines_are_awaited_in_the_loop(app, executed, kind):
    told = []

    class Told(Task):
        async def before_start(self, task_id, args, kwargs):
            await asyncio.sleep(0)
            told.append(("before", threading.current_thread().name))

        async def on_success(self, retval, task_id, args, kwargs):
            await asyncio.sleep(0)
            told.append((retval, threading.current_thread().name))

    @app.task(base=Told)
    async def waits():
        return 1

    @app.task(base=Told)
    def blocks():
        return 1

    executed(({"waits": waits, "blocks": blocks}[kind],))

    here = threading.current_thread().name
    assert told == [("before", here), (1, here)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("no")])
def test_whatever_a_coroutine_raises_ends_its_own_run_only(app, executed, error):
    @app.task
    async def raises():
        await asyncio.sleep(0)
        raise error

    @app.task
    async def goes_on():
        for _ in range(5):
            await asyncio.sleep(0)
        return "done"

    failed, other = executed((raises,), (goes_on,))

    assert failed.state == "FAILURE"
    assert value(other) == "done"


def test_a_coroutine_that_cancels_its_own_run_has_failed_and_others_go_on(app, executed):
    @app.task
    async def gives_up():
        own = asyncio.current_task()
        assert own is not None
        own.cancel()
        await asyncio.sleep(1)

    @app.task
    async def goes_on():
        await asyncio.sleep(0.01)
        return "done"

    failed, other = executed((gives_up,), (goes_on,))

    assert failed.state == "FAILURE"
    assert value(other) == "done"
