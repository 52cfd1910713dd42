"""Nodes that die before or after any step of a chord: its body goes out all the same, and on one store once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from celeriac import Celery, chain, chord, group
from celeriac.backends.memory import MemoryBackend
from celeriac.brokers.base import Delivery, Incarnation, Settlement
from celeriac.brokers.joins import JOINS_QUEUE
from celeriac.brokers.memory import MemoryBroker
from celeriac.states import READY_STATES, SUCCESS
from celeriac.wire.protocol import read_intake
from celeriac.worker.execute import Executor
from celeriac.worker.held import Holdings
from celeriac.worker.runs import Run
from celeriac.worker.settle import after_run
from celeriac.worker.settler import Ending, Settler

STEPS_MAX = 100


class NodeDied(BaseException):
    """Stand for the end of a process: nothing that it would have done next took place."""


class Fuse:
    """Let the process die at one call of a store: before it, or when it was done and before the answer came."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.calls = 0
        self._at = at
        self._after = after

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            dies = self.calls == self._at
            if dies and not self._after:
                raise NodeDied
            value = call(*args, **kwargs)
            if dies:
                raise NodeDied
            return value

        return wrapped

    def around_async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            dies = self.calls == self._at
            if dies and not self._after:
                raise NodeDied
            value = await call(*args, **kwargs)
            if dies:
                raise NodeDied
            return value

        return wrapped


class World:
    """Run an app's messages by nodes of which each does one message, until nothing is left."""

    def __init__(self, *, one_store: bool) -> None:
        name = str(uuid4())
        self.one_store = one_store
        self.app = Celery(
            "shop",
            broker=f"memory://{name}",
            backend=f"memory://{name}" if one_store else f"memory://{name}-results",
            set_as_current=False,
        )
        assert isinstance(self.app.broker, MemoryBroker)
        self.broker = self.app.broker
        self.broker.store.published = []
        add_tasks(self.app)

    def published(self, task: str) -> int:
        headers = [msgspec.json.decode(one.headers) for one in self.broker.store.published or ()]
        return sum(each["task"] == task for each in headers)

    async def work(self, fuse: Fuse) -> None:
        broker = self.broker
        backend = self.app.backend
        assert isinstance(backend, MemoryBackend)
        faulty_broker: Any = _Faulty(broker, publish=fuse.around(broker.publish))
        faulty_backend: Any = backend
        if not self.one_store:
            faulty_backend = _Faulty(backend, store=fuse.around(backend.store), join=fuse.around(backend.join))
        for _ in range(STEPS_MAX):
            consumer = broker.consumer(Incarnation.begin("w1@here"))
            await consumer.open()
            claim = await consumer.claim([JOINS_QUEUE, "celery"], limit=1, wait=0)
            if not claim.deliveries:
                await consumer.close()
                return
            [delivery] = claim.deliveries
            faulty_consumer: Any = _Faulty(consumer, settle=fuse.around_async(consumer.settle))
            holdings = Holdings()
            settler = Settler(
                faulty_consumer,
                faulty_broker,
                faulty_backend,
                holdings,
                on_settled=lambda: None,
                done_at=str,
            )
            settler.start()
            held = holdings.add(delivery, read_intake(delivery.message), now=0.0, expected=0.0)
            settler.add(Ending(held, self._outcome(delivery, backend)))
            task: Any = settler._task
            while len(holdings) and not task.done():
                await asyncio.sleep(0)
            if task.done():
                with pytest.raises(NodeDied):
                    task.result()
            else:
                await settler.stop(1.0)
            await consumer.close()  # what was held goes back, as when others find the node dead
        pytest.fail(f"there is still something to do after {STEPS_MAX} runs")

    def _outcome(self, delivery: Delivery, backend: MemoryBackend) -> Any:
        found = backend.get(delivery.message.task_id)
        if not self.one_store and delivery.redelivered and found is not None and found.state in READY_STATES:
            return Settlement(delivery=delivery)  # as the intake does
        executor = Executor(self.app, "w1@here")
        run = Run(1, delivery.message, delivery.redelivered, delivery.crashes)
        how = after_run(delivery, executor.execute(run))
        executor.close()
        return how


class _Faulty:
    """Be what it stands for, but for some methods."""

    def __init__(self, real: Any, **methods: Callable[..., Any]) -> None:
        self._real = real
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def add_tasks(app: Celery) -> None:
    app.task(name="shop.add")(lambda x, y: x + y)
    app.task(name="shop.total")(lambda values: sum(values))
    app.task(name="shop.told")(lambda task_id: None)

    @app.task(name="shop.fail")
    def fail() -> None:
        raise ValueError("no")


def one_chord(app: Celery) -> Any:
    add = app.tasks["shop.add"]
    return chord([add.s(1, 1), add.s(2, 2)], app.tasks["shop.total"].s())


def in_a_chain(app: Celery) -> Any:
    add = app.tasks["shop.add"]
    return chain(add.s(1, 1), group(add.s(1), add.s(1)), app.tasks["shop.total"].s())


def inside_another(app: Celery) -> Any:
    add = app.tasks["shop.add"]
    inner = chord([add.s(1, 1), add.s(1, 1)], app.tasks["shop.add"].si(2, 2))
    return chord([inner, add.s(1, 1)], app.tasks["shop.total"].s())


def failing(app: Celery) -> Any:
    add, told = app.tasks["shop.add"], app.tasks["shop.told"]
    return chord([add.s(1, 1), app.tasks["shop.fail"].s()], app.tasks["shop.total"].s().on_error(told.s()))


def run(make: Callable[[Celery], Any], *, one_store: bool, fuse: Fuse) -> tuple[World, Any]:
    world = World(one_store=one_store)
    result = make(world.app).delay()
    asyncio.run(world.work(fuse))
    return world, result


@pytest.mark.parametrize("after", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("one_store", [True, False], ids=["one store", "two stores"])
@pytest.mark.parametrize("make", [one_chord, in_a_chain, inside_another, failing])
def test_a_node_that_dies_at_any_step_loses_no_body(make, one_store, after):
    calls = Fuse(0, after=False)
    run(make, one_store=one_store, fuse=calls)
    assert calls.calls > 3

    for at in range(1, calls.calls + 1):
        world, result = run(make, one_store=one_store, fuse=Fuse(at, after=after))

        bodies = world.published("shop.total")
        errbacks = world.published("shop.told")
        if make is failing:
            assert "raised ValueError('no')" in str(result.result), at
            assert bodies == 0
            assert errbacks == 1 if one_store else errbacks >= 1
        else:
            assert (result.state, result.get()) == (SUCCESS, 6), at
            assert bodies == 1 if one_store else bodies >= 1
