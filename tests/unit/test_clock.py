from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.clock import until_tick

instants = st.floats(min_value=0, max_value=1e9)
periods = st.sampled_from([0.02, 0.5, 1.0, 2.0, 7.3])


@given(every=periods, now=instants)
def test_a_tick_is_never_at_once_and_never_much_later_than_asked(every: float, now: float):
    left = until_tick(every, now)

    assert every / 10 <= left <= every * 1.1


@given(every=periods, now=instants)
def test_who_sleeps_until_a_tick_does_so_again_for_a_whole_period(every: float, now: float):
    tick = now + until_tick(every, now)

    assert until_tick(every, tick) == pytest.approx(every, abs=0.0021)  # sleepers wake within a millisecond or two


@given(now=instants, later=st.floats(min_value=0, max_value=10))
def test_loops_of_several_periods_wake_together(now: float, later: float):
    slow, quick = now + until_tick(2.0, now), now + later + until_tick(0.5, now + later)

    apart = (slow - quick) % 0.5

    assert min(apart, 0.5 - apart) < 0.0021
