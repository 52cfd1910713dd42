from __future__ import annotations

import logging
from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.dispatch import WINDOW_MAX, WINDOW_SECONDS, Adaptive, Fair, Slot, Strategy
from celeriac.worker.strategies import (
    Guarded,
    RoundRobin,
    Weighted,
    learner_of,
    register_strategy,
    strategy_of,
    weights_of,
)

NOW = 100.0
SHORT = 0.0001


def slot(place: int, *waits: float, capacity: int = 1, since: float = NOW) -> Slot:
    made = Slot(place, capacity, place=place)
    for expected in waits:
        made.note_sent(expected, since)
    made.since = since
    return made


def chosen_by(strategy: Strategy, slots: list[Slot], expected: float) -> Slot:
    chosen = strategy.choose(slots, expected, NOW)
    assert chosen is not None
    return chosen


def shares(strategy, slots, count: int, expected: float = SHORT) -> Counter[int]:
    """Give out so many messages that end at once."""
    given: Counter[int] = Counter()
    for _ in range(count):
        given[strategy.choose(slots, expected, NOW).place] += 1
    return given


children = st.lists(
    st.tuples(st.integers(1, 4), st.lists(st.sampled_from([SHORT, 0.004, 0.1, inf]), max_size=6)), max_size=5
).map(lambda some: [slot(place, *waits, capacity=capacity) for place, (capacity, waits) in enumerate(some)])


@pytest.mark.parametrize("make", [RoundRobin, Weighted, lambda: Weighted({1: 5.0, 2: 0.1})])
@given(slots=children, expected=st.sampled_from([SHORT, 0.1, inf]))
def test_a_free_body_never_waits_and_nothing_waits_behind_something_long(make, slots, expected):
    chosen = make().choose(slots, expected, NOW)

    if any(one.load < one.capacity for one in slots):
        assert chosen is not None
        assert chosen.load < chosen.capacity
    elif chosen is not None:
        assert chosen.wait <= WINDOW_SECONDS
        assert expected <= WINDOW_SECONDS
        assert chosen.load < WINDOW_MAX + chosen.capacity - 1


@pytest.mark.parametrize("make", [RoundRobin, Weighted])
def test_a_child_whose_run_turned_out_long_gets_nothing_to_wait_there(make):
    assert make().choose([slot(0, SHORT, since=NOW - 1)], SHORT, NOW) is None


def test_children_take_turns_however_little_they_have_to_do():
    strategy, slots = RoundRobin(), [slot(number, capacity=4) for number in range(3)]

    assert [chosen_by(strategy, slots, inf).number for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_full_child_is_passed_over_and_a_new_one_has_its_turn():
    strategy = RoundRobin()
    full, free, new = slot(0, inf), slot(1), slot(7)

    assert strategy.choose([full, free], inf, NOW) is free
    assert strategy.choose([full, free, new], inf, NOW) is new


def test_given_weights_are_the_shares():
    slots = [slot(0), slot(1), slot(2)]

    assert shares(Weighted({1: 3.0, 2: 1.0}), slots, 500) == {0: 300, 1: 100, 2: 100}


def test_a_heavy_child_does_not_get_all_its_share_in_a_row():
    strategy, slots = Weighted({1: 3.0}), [slot(0), slot(1)]

    order = [chosen_by(strategy, slots, SHORT).place for _ in range(8)]

    assert order.count(0) == 6
    assert [0] * 4 not in [order[at : at + 4] for at in range(8)]


def test_a_child_of_many_bodies_has_a_share_for_each():
    assert shares(Weighted(), [slot(0, capacity=3), slot(1)], 400) == {0: 300, 1: 100}


def test_without_weights_a_child_that_is_half_as_fast_has_half_the_share():
    strategy, slots = Weighted(), [slot(0), slot(1)]
    for _ in range(200):
        strategy.note_run(slots[0], 0.01, 0.01)
        strategy.note_run(slots[1], 0.01, 0.02)

    given = shares(strategy, slots, 300)

    assert given[0] == pytest.approx(200, abs=2)


def test_one_run_of_unknown_length_teaches_nothing_and_a_terrible_one_not_everything():
    strategy = Weighted()

    strategy.note_run(slot(0), inf, 10.0)
    assert strategy.weight(1) == 1.0
    strategy.note_run(slot(0), SHORT, 1e9)
    assert strategy.weight(1) > 0.5


def test_a_child_that_was_away_does_not_catch_up():
    strategy, slots = Weighted(), [slot(0), slot(1)]
    shares(strategy, slots[:1], 1000)

    assert shares(strategy, slots, 100) == {0: 50, 1: 50}


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("adaptive", Adaptive),
        ("default", Adaptive),
        ("fair", Fair),
        ("round-robin", RoundRobin),
        ("weighted", Weighted),
        ("celeriac.worker.dispatch:Fair", Fair),
        ("celeriac.worker.dispatch.Fair", Fair),
        (Fair, Fair),
    ],
)
def test_a_strategy_is_named_in_three_ways(named, kind):
    assert type(strategy_of(named)) is kind


def test_weighted_and_what_derives_from_it_are_made_with_the_weights():
    class Heavier(Weighted):
        def weight(self, place):
            return 2 * super().weight(place)

    weighted = strategy_of("weighted", {"2": "4"})
    assert isinstance(weighted, Weighted)
    assert weighted.weight(2) == 4.0
    slots = [slot(0), slot(1)]
    assert shares(strategy_of(Heavier, {"2": 4}), slots, 500) == {0: 100, 1: 400}


class NoChoice:
    pass


class NeedsMore:
    def __init__(self, more):
        pass

    def choose(self, slots, expected, now):
        return None


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (
            "fairr",
            r"no strategy 'fairr' \(did you mean fair\?\); there are adaptive, default, fair, round-",
        ),
        ("celeriac.worker.nowhere:Fair", "'celeriac.worker.nowhere:Fair' cannot be imported: No module named"),
        ("celeriac.worker.dispatch:Fairer", "has no attribute 'Fairer'"),
        ("celeriac.worker.dispatch:most_free", "is no class, but <function"),
        (NoChoice, "NoChoice, which has no method `choose"),
        (NeedsMore, "NeedsMore cannot be made: TypeError.*called without arguments"),
    ],
)
def test_what_is_no_strategy_is_refused(named, says):
    with pytest.raises(ImproperlyConfigured, match=says):
        strategy_of(named)


@pytest.mark.parametrize("wrong", [{"0": 1}, {"one": 1}, {"1": 0}, {"1": -1}, {"1": "much"}, {"1": inf}, {"1": None}])
def test_weights_are_numbers_above_0_by_places_from_1(wrong):
    with pytest.raises(ImproperlyConfigured, match="worker_dispatch_weights must give numbers above 0"):
        weights_of(wrong)


class First:
    def choose(self, slots, expected, now):
        return slots[0] if not slots[0].load else None


def test_a_registered_name_names_a_class_and_hides_none_of_ours():
    register_strategy("first-for-tests", First)

    assert isinstance(strategy_of("first-for-tests"), Guarded)
    with pytest.raises(ValueError, match="'fair' is a strategy of celeriac's own"):
        register_strategy("fair", First)
    with pytest.raises(ValueError, match="has no method `choose"):
        register_strategy("nothing", NoChoice)


def test_a_class_with_nothing_but_a_choice_holds_as_much_as_others_do():
    strategy, slots = strategy_of(First), [slot(0), slot(1)]

    assert strategy.choose(slots, inf, NOW) is slots[0]
    assert strategy.prefetch(slots, 0.010, NOW) == 2 + 2 * 5
    assert learner_of(strategy) is None
    assert learner_of(Weighted()) is not None


def test_a_strategy_that_fails_costs_no_work_and_is_told_of_once(caplog):
    class Bad:
        def choose(self, slots, expected, now):
            if expected == 1.0:
                return Slot(99)
            raise RuntimeError("no idea")

        def prefetch(self, slots, mean, now):
            return "many"

        def note_run(self, slot, expected, took):
            raise RuntimeError("too much")

    strategy, slots = strategy_of(Bad), [slot(0, inf), slot(1)]

    with caplog.at_level(logging.ERROR, "celeriac.worker"):
        assert strategy.choose(slots, 1.0, NOW) is slots[1]
        assert strategy.choose(slots, inf, NOW) is slots[1]
        assert strategy.prefetch(slots, inf, NOW) == 2
        learn = learner_of(strategy)
        assert learn is not None
        learn(slots[0], 0.1, 0.1)

    [record] = caplog.records
    assert "Bad chose Slot(" in record.getMessage()
    assert "`adaptive` chooses instead" in record.getMessage()
