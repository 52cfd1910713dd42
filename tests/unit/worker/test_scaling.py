"""How many bodies a node runs at once when it may choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.scaling import Bounds, Needs, bodies_for, bounds_of, keepalive_in

numbers = st.integers(min_value=0, max_value=50)
all_bounds = st.tuples(numbers, numbers).map(lambda two: Bounds(max(*two, 1), min(two)))


@pytest.mark.parametrize(
    ("bodies", "needed", "lately", "wanted"),
    [
        (2, 2, 2, 2),  # all are busy, and nothing waits
        (2, 3, 3, 3),  # one message waits
        (2, 500, 500, 8),
        (8, 500, 500, 8),
        (8, 3, 8, 8),  # it had to do a moment ago
        (8, 3, 5, 5),
        (8, 0, 0, 2),
        (2, 0, 0, 2),
    ],
)
def test_a_node_has_as_many_bodies_as_it_needs(bodies: int, needed: int, lately: int, wanted: int):
    assert bodies_for(Bounds(8, 2), bodies=bodies, needed=needed, needed_lately=lately) == wanted


@given(all_bounds, st.integers(min_value=1, max_value=60), numbers, numbers)
def test_it_never_leaves_its_bounds_nor_takes_a_body_from_what_runs(
    bounds: Bounds, bodies: int, needed: int, lately: int
):
    bodies = bounds.within(bodies)

    wanted = bodies_for(bounds, bodies=bodies, needed=needed, needed_lately=max(needed, lately))

    assert max(bounds.least, 1) <= wanted <= bounds.most
    assert wanted >= min(needed, bodies)


@given(st.lists(st.tuples(st.floats(min_value=0.01, max_value=5), numbers), min_size=1, max_size=40))
def test_what_was_needed_is_remembered_for_some_seconds(steps: list[tuple[float, int]]):
    needs, now, told = Needs(10.0), 0.0, []

    for seconds, needed in steps:
        now += seconds
        needs.note(needed, now)
        told.append((now, needed))

    assert needs.most(now) == max(needed for at, needed in told if at > now - 10.0)
    assert needs.most(now + 10.1) == 0


@pytest.mark.parametrize(
    ("most", "least"), [(0, 0), (-1, 0), (3, 4), (3, -1), (10_001, 1), (True, 0), ("4", 1), (4, None), (4.0, 1)]
)
def test_what_cannot_be_bounds_is_refused(most: object, least: object):
    with pytest.raises(ValueError, match=r"(max|min) must be"):
        bounds_of(most, least)


def test_the_environment_says_for_how_long_idle_bodies_are_kept():
    assert keepalive_in({}) == 30.0
    assert keepalive_in({"AUTOSCALE_KEEPALIVE": "2.5"}) == 2.5


@pytest.mark.parametrize("said", ["0", "-1", "soon", "nan", "inf"])
def test_a_time_that_is_none_is_refused(said: str):
    with pytest.raises(ImproperlyConfigured, match="AUTOSCALE_KEEPALIVE"):
        keepalive_in({"AUTOSCALE_KEEPALIVE": said})
