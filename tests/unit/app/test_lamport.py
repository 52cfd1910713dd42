from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from celeriac import Celery
from celeriac.app.lamport import LamportClock


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_is_heard_is_counted_above_both(own: int, other: int):
    clock = LamportClock(own)

    assert clock.adjust(other) == clock.value > max(own, other)


def test_what_is_said_is_counted():
    clock = LamportClock()

    assert [clock.forward(), clock.forward(), clock.value] == [1, 2, 2]


def test_an_app_has_one():
    app = Celery("shop", broker="memory://", set_as_current=False)

    app.clock.forward()

    assert app.clock.value == 1
