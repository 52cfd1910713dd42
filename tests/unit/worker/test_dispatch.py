from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.worker.dispatch import (
    LATE_AFTER,
    OVERHEAD_SECONDS,
    PREFETCH_MAX,
    WINDOW_MAX,
    WINDOW_SECONDS,
    WORTH_MOVING,
    Adaptive,
    Durations,
    Fair,
    Slot,
    prefetch_by_time,
    worth_relieving,
)

NOW = 100.0
SHORT = 0.0001


def slot(number: int, *waits: float, since: float = NOW, capacity: int = 1) -> Slot:
    made = Slot(number, capacity)
    for expected in waits:
        made.note_sent(expected, since)
    made.since = since
    return made


slots = st.lists(
    st.lists(st.sampled_from([SHORT, 0.001, 0.004, 0.1, inf]), max_size=5).flatmap(
        lambda waits: st.builds(lambda since: slot(0, *waits, since=since), st.floats(NOW - 1, NOW))
    ),
    max_size=5,
)


@pytest.mark.parametrize("strategy", [Adaptive(), Fair()])
@given(slots=slots, expected=st.sampled_from([SHORT, 0.1, inf]))
def test_an_idle_slot_always_comes_first(strategy, slots, expected):
    chosen = strategy.choose(slots, expected, NOW)

    assert all(one.load for one in slots) or (chosen is not None and not chosen.load)


@given(slots=slots, expected=st.sampled_from([SHORT, 0.1, inf]))
def test_nothing_ever_waits_behind_something_long_or_unknown(slots, expected):
    chosen = Adaptive().choose(slots, expected, NOW)

    if chosen is not None and chosen.load:
        assert chosen.wait <= WINDOW_SECONDS
        assert expected <= WINDOW_SECONDS
        assert not chosen.is_late(NOW)


@given(slots=slots, expected=st.sampled_from([SHORT, 0.1, inf]))
def test_fair_never_makes_anything_wait_in_a_slot(slots, expected):
    chosen = Fair().choose(slots, expected, NOW)

    assert chosen is None or not chosen.load


@given(
    loads=st.lists(st.lists(st.sampled_from([SHORT, 0.1, inf]), max_size=6), min_size=1, max_size=4),
    expected=st.sampled_from([SHORT, 0.1, inf]),
)
@pytest.mark.parametrize("strategy", [Adaptive(), Fair()])
def test_a_free_body_comes_first_in_the_child_that_has_the_most_of_them(strategy, loads, expected):
    children = [slot(number, *load, capacity=4) for number, load in enumerate(loads)]

    chosen = strategy.choose(children, expected, NOW)

    least = min(one.load for one in children)
    if least < 4:
        assert chosen is not None
        assert chosen.load == least


@given(
    sent=st.lists(st.sampled_from([SHORT, 0.001, 0.1, inf]), max_size=20),
    gone=st.lists(st.integers(0, 19), unique=True),
)
def test_what_is_gone_leaves_no_trace_in_whatever_order_it_goes(sent, gone):
    child = slot(0, *sent, capacity=4)

    for index in gone:
        if index < len(sent):
            child.note_gone(sent[index])

    rest = [expected for index, expected in enumerate(sent) if index not in gone]
    again = slot(0, *rest, capacity=4)
    assert (child.load, child.long) == (again.load, again.long)
    assert child.expected == pytest.approx(again.expected, abs=1e-9)


def test_short_tasks_wait_behind_the_bodies_that_run_short_ones_where_others_run_long():
    child = slot(0, SHORT, 0.002, inf, 5.0, capacity=4)

    assert child.wait == pytest.approx((SHORT + 0.002) / 2)
    assert Adaptive().choose([child], SHORT, NOW) is child
    assert slot(0, 5.0, inf, 5.0, inf, capacity=4).wait == inf


def test_a_child_with_a_free_body_is_not_late():
    assert not slot(0, inf, since=NOW - 10, capacity=2).is_late(NOW)


def test_short_tasks_share_a_window_in_the_slot_that_is_free_soonest():
    busy, freer = slot(0, 0.004), slot(1, SHORT)

    assert Adaptive().choose([busy, freer], SHORT, NOW) is freer


def test_a_window_has_an_end():
    full = slot(0, *[0.0] * WINDOW_MAX)

    assert Adaptive().choose([full], SHORT, NOW) is None


def test_a_slot_whose_run_turned_out_long_gets_no_more():
    late = slot(0, SHORT, since=NOW - 2 * LATE_AFTER)

    assert late.is_late(NOW)
    assert Adaptive().choose([late], SHORT, NOW) is None


def test_an_idle_slot_is_never_late():
    assert not slot(0, since=0.0).is_late(NOW)


def test_a_node_holds_fifty_milliseconds_of_work_and_one_for_each_slot():
    assert prefetch_by_time([slot(0), slot(1)], 0.010, NOW) == 2 + 2 * 5


def test_a_node_that_knows_nothing_yet_holds_one_for_each_slot():
    assert prefetch_by_time([slot(0), slot(1)], inf, NOW) == 2


def test_a_node_of_tiny_tasks_holds_a_bounded_number():
    assert prefetch_by_time([slot(0)], OVERHEAD_SECONDS, NOW) <= 1 + PREFETCH_MAX


def test_a_node_holds_one_for_each_body_of_each_child():
    assert prefetch_by_time([slot(0, capacity=8), slot(1, capacity=4)], inf, NOW) == 12
    assert prefetch_by_time([slot(0, capacity=8)], 0.010, NOW) == 8 + 8 * 5


def test_slots_that_run_something_long_hold_nothing_in_advance():
    long = slot(0, inf, since=NOW - 1)

    assert prefetch_by_time([long, slot(1)], 0.010, NOW) == 2 + 5


def test_a_task_that_never_ran_here_may_take_any_time():
    assert Durations().expected("shop.pay") == inf


def test_one_run_tells_how_long_the_next_takes():
    durations = Durations()

    durations.note("shop.pay", 0.25)

    assert durations.expected("shop.pay") == pytest.approx(0.25, abs=0.001)
    assert durations.expected("shop.other") == inf


def test_a_sudden_long_run_ends_the_window_of_a_task_at_once():
    durations = Durations()
    for _ in range(100):
        durations.note("shop.pay", SHORT)

    durations.note("shop.pay", 1.0)

    assert durations.expected("shop.pay") > WINDOW_SECONDS


def test_estimates_come_back_after_a_long_run():
    durations = Durations()
    durations.note("shop.pay", 10.0)

    for _ in range(100):
        durations.note("shop.pay", SHORT)

    assert durations.expected("shop.pay") < WINDOW_SECONDS


def test_estimates_of_ever_new_names_are_bounded():
    durations = Durations()

    for number in range(10_050):
        durations.note(f"task-{number}", 0.1)

    assert durations.expected("task-0") < inf
    assert durations.expected("task-10049") == inf


def test_a_child_is_relieved_of_what_would_wait_for_long_when_another_has_a_body_free():
    busy, busier = slot(0, 0.01, 0.002), slot(1, 0.01, 0.01)

    assert worth_relieving([slot(2), busy, busier]) is busier
    assert worth_relieving([slot(2, inf, capacity=2), busy]) is busy


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([slot(0, 0.01, 0.01), slot(1, 0.01)], id="nobody-is-free"),
        pytest.param([slot(0), slot(1, 0.01)], id="nothing-waits"),
        pytest.param([slot(0), slot(1, WORTH_MOVING / 4, WORTH_MOVING / 4)], id="it-begins-at-once-anyway"),
    ],
)
def test_nothing_is_moved_where_nobody_gains(others):
    assert worth_relieving(others) is None
