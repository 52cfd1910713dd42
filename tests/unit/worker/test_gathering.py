from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.worker.gathering import gather_seconds

bodies = st.integers(min_value=1, max_value=64)


@given(mean=st.floats(min_value=1e-6, max_value=1e6), at_once=bodies)
def test_the_end_of_a_run_waits_for_nothing_where_no_message_waits(mean: float, at_once: int):
    assert gather_seconds(0, mean, at_once) == 0.0


@given(behind=st.integers(min_value=1, max_value=5_000), mean=st.floats(min_value=0.001, max_value=100), at_once=bodies)
def test_an_end_waits_for_half_as_long_as_what_waits_for_a_body_and_never_long(behind: int, mean: float, at_once: int):
    wait = gather_seconds(behind, mean, at_once)

    assert wait <= 0.02
    assert wait <= behind * mean / at_once / 2


@pytest.mark.parametrize(
    ("behind", "mean", "wait"),
    [
        (31, 0.0001, 0.0),
        (32, 0.0001, 0.002),
        (8, 0.01, 0.02),  # four ends meanwhile
        (6, 0.02, 0.02),
        (6, 0.05, 0.0),  # no other end would come
        (3, inf, 0.0),
    ],
)
def test_an_end_waits_for_others_only_if_some_will_come(behind: int, mean: float, wait: float):
    assert gather_seconds(behind, mean, 2) == wait


def test_a_node_whose_children_are_all_away_waits_for_no_ends():
    assert gather_seconds(5, 0.01, 0) == 0.0
