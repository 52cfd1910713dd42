from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from celeriac.app.steps import StartStopStep, Step
from celeriac.worker import stepping
from celeriac.worker.stepping import Stepping, steps_for_bodies

told: list[Any] = []


class Base(StartStopStep):
    def __init__(self, parent, **options):
        told.append((self.alias, "made", options))

    def start(self, parent):
        told.append((self.alias, "start", threading.current_thread() is threading.main_thread()))

    def stop(self, parent):
        told.append((self.alias, "stop"))

    def close(self, parent):
        told.append((self.alias, "close"))

    def terminate(self, parent):
        told.append((self.alias, "terminate"))


class First(Base):
    pass


class Second(Base):
    requires = (First,)


class Fails(Base):
    requires = (Second,)

    def start(self, parent):
        raise ValueError("no shop")


class Odd(First):
    def stop(self, parent):
        raise SystemExit("on its own")


class Hangs(First):
    def stop(self, parent):
        threading.Event().wait(60)


@pytest.fixture(autouse=True)
def _nothing_told():
    told.clear()


def made(*kinds) -> Stepping:
    worker: Any = SimpleNamespace(options=lambda: {"shop": "books"})
    return Stepping(worker, kinds)


async def test_steps_start_in_order_beside_the_loop_and_stop_in_reverse():
    steps = made({Second, First}, ())

    await steps.start()
    await steps.stop(at_once=False)
    await steps.stop(at_once=False)

    assert told == [
        ("First", "made", {"shop": "books"}),
        ("Second", "made", {"shop": "books"}),
        ("First", "start", False),
        ("Second", "start", False),
        ("Second", "close"),
        ("First", "close"),
        ("Second", "stop"),
        ("First", "stop"),
    ]


async def test_those_of_the_consumer_start_last():
    await made({Second}, {First}).start()

    assert [one[:2] for one in told if one[1] == "start"] == [("Second", "start"), ("First", "start")]


async def test_where_nobody_waits_they_are_terminated():
    steps = made({First})
    await steps.start()

    await steps.stop(at_once=True)

    assert told[-1] == ("First", "terminate")


async def test_what_was_started_before_one_that_fails_is_stopped():
    steps = made({First, Second, Fails})

    with pytest.raises(ValueError, match="no shop"):
        await steps.start()
    await steps.stop(at_once=False)

    assert [one for one in told if one[1] == "stop"] == [("Fails", "stop"), ("Second", "stop"), ("First", "stop")]


@pytest.mark.parametrize("kind", [Odd, Hangs])
async def test_one_that_does_not_stop_keeps_nobody(kind, monkeypatch, caplog):
    monkeypatch.setattr(stepping, "_STOP_WITHIN", 0.1)
    steps = made({kind, Second})
    await steps.start()

    await steps.stop(at_once=False)

    assert ("Second", "stop") in told
    assert f"{kind.__name__} " in caplog.text


class Connects(Step):
    def __init__(self, parent, **options):
        told.append(("Connects", "made", options))

    def create(self, parent):
        told.append(("Connects", "create"))


class Unwanted(Connects):
    def include_if(self, parent):
        return False


class Broken(Step):
    def __init__(self, parent, **options):
        raise LookupError("no key")


def test_steps_that_have_nothing_to_start_are_made_for_bodies_too(caplog):
    worker: Any = SimpleNamespace(options=lambda: {"shop": "books"})

    steps = steps_for_bodies(worker, ({Broken, Connects, First}, ()))

    assert [type(step) for step in steps] == [Connects]
    assert told == [("Connects", "made", {"shop": "books"}), ("Connects", "create")]
    [record] = caplog.records
    assert record.message.endswith("Broken could not be made where tasks run, which begin without it")


def test_a_step_that_the_node_is_not_to_have_is_none_for_bodies_either():
    worker: Any = SimpleNamespace(options=dict)

    assert steps_for_bodies(worker, ({Unwanted},)) == []
