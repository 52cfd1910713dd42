from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.base import Delivery
from celeriac.brokers.revocations import Revocation
from celeriac.exceptions import (
    DecodeError,
    MessageTooLarge,
    NotRegistered,
    TaskCancelled,
    TaskRevokedError,
    WorkerLostError,
)
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker.decide import (
    Bury,
    Drop,
    HoldUntil,
    PassOn,
    Policy,
    RunNow,
    crash_delay,
    decide,
    decide_unreadable,
    unknown_delay,
    unknown_for,
)

NOW = 1_000_000.0
MESSAGE = Message(task_id="id", queue="celery", headers=b"{}", body=b"[]")

instants = st.none() | st.floats(min_value=0, max_value=2 * NOW, allow_nan=False)


def delivery(**changes) -> Delivery:
    return Delivery(tag=1, owner=1, message=MESSAGE, **changes)


def intake(*, eta_at: float | None = None, expires_at: float | None = None) -> Intake:
    return Intake(
        task="shop.pay",
        id="id",
        eta_at=eta_at,
        expires_at=expires_at,
        retries=0,
        ignore_result=None,
        protocol=2,
    )


def decided(given_delivery: Delivery, facts: Intake, *, known: bool = True, policy: Policy | None = None):
    return decide(given_delivery, facts, known=known, now=NOW, policy=policy or Policy())


def test_a_plain_message_runs():
    assert decided(delivery(), intake()) == RunNow()


REVOKED = Revocation(task_id="id", at=NOW, expires_at=NOW + 60)
CANCELLED = Revocation(task_id="id", at=NOW, expires_at=NOW + 60, cancel=True, reason="late", by="ann")


@pytest.mark.parametrize(
    ("given_delivery", "facts", "known"),
    [
        (delivery(), intake(), True),
        (delivery(), intake(eta_at=NOW + 1), True),
        (delivery(), intake(expires_at=NOW - 1), True),
        (delivery(), intake(), False),
        (delivery(crashes=3), intake(), True),
        (delivery(node_losses=10), intake(), True),
        (delivery(replaced_by="other"), intake(), True),
    ],
)
def test_what_is_revoked_is_dropped_whatever_else_is_true_of_it(given_delivery, facts, known):
    decision = decide(given_delivery, facts, known=known, now=NOW, policy=Policy(), revocation=REVOKED)

    assert isinstance(decision, Drop)
    assert repr(decision.error) == repr(TaskRevokedError("revoked"))


def test_what_is_cancelled_says_why_and_by_whom():
    decision = decide(delivery(), intake(), known=True, now=NOW, policy=Policy(), revocation=CANCELLED)

    assert isinstance(decision, Drop)
    assert repr(decision.error) == repr(TaskCancelled("late", "ann"))


def test_an_eta_that_is_to_come_is_waited_for():
    assert decided(delivery(), intake(eta_at=NOW + 1)) == HoldUntil(NOW + 1)


def test_an_eta_that_is_now_has_come():
    assert decided(delivery(), intake(eta_at=NOW)) == RunNow()


def test_what_expires_now_is_too_late():
    decision = decided(delivery(), intake(expires_at=NOW))

    assert isinstance(decision, Drop)
    assert isinstance(decision.error, TaskRevokedError)


def test_expiry_wins_over_an_eta_and_over_an_unknown_name():
    assert isinstance(decided(delivery(), intake(eta_at=NOW + 9, expires_at=NOW - 1)), Drop)
    assert isinstance(decided(delivery(), intake(expires_at=NOW - 1), known=False), Drop)


@given(eta_at=instants, expires_at=instants, crashes=st.integers(0, 2), losses=st.integers(0, 9))
def test_what_runs_is_neither_early_nor_expired(eta_at, expires_at, crashes, losses):
    decision = decided(delivery(crashes=crashes, node_losses=losses), intake(eta_at=eta_at, expires_at=expires_at))

    due = eta_at is None or eta_at <= NOW
    wanted = expires_at is None or expires_at > NOW
    assert isinstance(decision, RunNow) == (due and wanted)


@pytest.mark.parametrize(("crashes", "runs"), [(0, True), (2, True), (3, False), (7, False)])
def test_three_crashes_are_enough(crashes, runs):
    decision = decided(delivery(crashes=crashes), intake())

    assert isinstance(decision, RunNow) == runs
    assert runs or (isinstance(decision, Bury) and isinstance(decision.error, WorkerLostError))


@pytest.mark.parametrize(("losses", "runs"), [(9, True), (10, False)])
def test_ten_lost_nodes_are_enough_and_are_no_crashes(losses, runs):
    decision = decided(delivery(crashes=2, node_losses=losses), intake())

    assert isinstance(decision, RunNow) == runs
    assert runs or "10 nodes" in decision.reason


def test_a_poison_is_buried_whatever_else_is_true_of_it():
    facts = intake(eta_at=NOW + 9, expires_at=NOW - 9)

    assert isinstance(decided(delivery(crashes=3), facts, known=False), Bury)


def test_an_unknown_task_is_left_to_others_a_little_longer_each_time():
    delays = []
    for releases in range(7):
        decision = decided(delivery(releases=releases), intake(), known=False)
        assert isinstance(decision, PassOn)
        delays.append(decision.eta_at - NOW)

    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_task_that_stays_unknown_is_buried_after_ten_minutes():
    last = next(count for count in range(100) if unknown_for(count) >= 600)

    decision = decided(delivery(releases=last), intake(), known=False)

    assert isinstance(decision, Bury)
    assert isinstance(decision.error, NotRegistered)
    assert "'shop.pay'" in decision.reason
    assert isinstance(decided(delivery(releases=last - 1), intake(), known=False), PassOn)


def test_a_task_that_may_not_be_unknown_at_all_is_buried_at_once():
    assert isinstance(decided(delivery(), intake(), known=False, policy=Policy(unknown_release_for=0)), Bury)


@given(releases=st.integers(0, 10**9))
def test_delays_of_unknown_tasks_stay_finite_however_often_they_were_released(releases):
    assert 1 <= unknown_delay(releases) <= 30
    assert math.isfinite(unknown_for(releases))


def test_the_runs_of_a_poison_are_ever_further_apart():
    assert [crash_delay(crashes) for crashes in (1, 2, 3, 4, 50)] == [1, 4, 16, 16, 16]


def test_a_fault_of_the_store_is_the_reason():
    decision = decide_unreadable(delivery(fault="column body holds int, not bytes"), None)

    assert isinstance(decision.error, DecodeError)
    assert decision.reason == "column body holds int, not bytes"


def test_what_is_too_large_is_answered_as_such():
    decision = decide_unreadable(delivery(fault="the message has 9 bytes; message_max_bytes allows 1"), None)

    assert isinstance(decision.error, MessageTooLarge)


def test_what_cannot_be_decoded_is_answered_with_the_decoders_words():
    error = DecodeError("headers are a JSON list")

    decision = decide_unreadable(delivery(), error)

    assert decision == Bury(error, "headers are a JSON list")


def test_what_another_run_has_replaced_is_dropped():
    decision = decide(delivery(replaced_by="other"), intake(), known=False, now=NOW, policy=Policy())

    assert isinstance(decision, Drop)
    assert decision.error.args == ("replaced",)
