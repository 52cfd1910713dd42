from __future__ import annotations

import itertools

import pytest

from celeriac import states
from celeriac.states import FAILURE, PENDING, RECEIVED, REJECTED, RETRY, REVOKED, STARTED, SUCCESS, precedence, state

FROM_LEAST_TO_MOST = [PENDING, RETRY, REJECTED, RECEIVED, STARTED, REVOKED, "PROGRESS", FAILURE, SUCCESS]


def test_states_compare_by_how_much_they_tell():
    assert sorted(map(state, reversed(FROM_LEAST_TO_MOST))) == FROM_LEAST_TO_MOST


@pytest.mark.parametrize(("less", "more"), list(itertools.pairwise(FROM_LEAST_TO_MOST)))
def test_each_comparison_agrees(less, more):
    less, more = state(less), state(more)

    assert less < more
    assert less <= more
    assert more > less
    assert more >= less
    assert not less > more
    assert not less >= more


def test_states_of_ones_own_are_all_alike():
    assert precedence("PROGRESS") == precedence("UPLOADED") == precedence(None) == states.NONE_PRECEDENCE
    assert state("PROGRESS") >= state("UPLOADED") >= state("PROGRESS")


def test_a_state_is_its_text():
    assert state(SUCCESS) == "SUCCESS"
    assert hash(state(SUCCESS)) == hash("SUCCESS")
    assert {SUCCESS: 1}[state(SUCCESS)] == 1


def test_a_state_is_either_ready_or_not():
    assert not states.READY_STATES & states.UNREADY_STATES
    assert states.ALL_STATES | {states.REJECTED} == states.READY_STATES | states.UNREADY_STATES
