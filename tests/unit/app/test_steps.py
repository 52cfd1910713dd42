from __future__ import annotations

import pytest

from celeriac.app.steps import ConsumerStep, StartStopStep, Step, in_order
from celeriac.exceptions import ImproperlyConfigured


class A(Step):
    pass


class B(Step):
    requires = (A,)


class C(StartStopStep):
    name = "shop.C"
    requires = ("celery.worker.components:Pool", B)


class D(Step):
    requires = ("shop.C",)


class Last(Step):
    name = "0"
    last = True


def test_each_follows_those_that_it_requires():
    assert in_order([D, Last, C, B, A]) == [A, B, C, D, Last]


def test_those_that_require_nothing_come_by_name():
    class Z(Step):
        name = "z"

    class Y(Step):
        name = "y"

    assert in_order({Z, Y}) == [Y, Z]


def test_what_requires_itself_by_way_of_others_is_refused():
    class X(Step):
        name = "x"
        requires = ("y",)

    class Y(Step):
        name = "y"
        requires = ("x",)

    with pytest.raises(ImproperlyConfigured, match="require each other: x, y"):
        in_order([X, Y])


def test_what_create_returns_is_started_and_stopped():
    told: list[str] = []

    class Part:
        def start(self):
            told.append("start")

        def stop(self):
            told.append("stop")

    class Own(StartStopStep):
        def create(self, parent):
            return Part()

    step = Own(None)
    assert step.include(None)
    step.start(None)
    step.stop(None)
    step.terminate(None)

    assert told == ["start", "stop", "stop"]


def test_a_step_that_is_not_enabled_is_left_out():
    class Off(StartStopStep):
        enabled = False

        def create(self, parent):
            raise AssertionError("not to be made")

    assert not Off(None).include(None)
    assert Off(None).alias == "Off"


def test_consumers_of_kombu_are_refused_by_name():
    class Own(ConsumerStep):
        def get_consumers(self, channel):
            return []

    with pytest.raises(ImproperlyConfigured, match=r"Own has get_consumers: .* no kombu consumers"):
        Own(None)
    with pytest.raises(NotImplementedError, match="no kombu consumers"):
        ConsumerStep(None).get_consumers(None)
