from __future__ import annotations

import json
import os
import signal

import pytest

from celeriac.brokers.base import Delivery, Release, ReleaseCause, Settlement
from celeriac.exceptions import NotRegistered, TaskRevokedError
from celeriac.message import Message, OnConflict, Unique
from celeriac.wire.protocol import Intake
from celeriac.worker.decide import Bury, Drop, Policy
from celeriac.worker.runs import Outcome
from celeriac.worker.settle import (
    after_bury,
    after_crash,
    after_drop,
    after_refusal_by_store,
    after_run,
    freeing,
    how_it_died,
)

NOW = 1_000_000.0
DONE_AT = "2026-01-02T03:04:05+00:00"
FOLLOWING = Message(task_id="next", queue="celery", headers=b"{}", body=b"[]")
INTAKE = Intake(task="shop.pay", id="id", eta_at=None, expires_at=None, retries=2, ignore_result=None, protocol=2)


def delivery(**changes) -> Delivery:
    message = Message(task_id="id", queue="celery", headers=b"{}", body=b"[]")
    return Delivery(tag=7, owner=1, message=message, **changes)


def crashed(given: Delivery, *, again: bool = True, policy: Policy | None = None) -> Settlement | Release:
    return after_crash(
        given,
        INTAKE,
        died="died of signal 9 (SIGKILL)",
        again=again,
        policy=policy or Policy(),
        now=NOW,
        done_at=DONE_AT,
    )


def recorded(how: Settlement | Release) -> dict:
    result = settled(how).result
    assert result is not None
    return json.loads(result.record)


def record_retries(how: Settlement | Release) -> int:
    result = settled(how).result
    assert result is not None
    return result.retries


def settled(how: Settlement | Release) -> Settlement:
    assert isinstance(how, Settlement)
    return how


def after(outcome: Outcome) -> Settlement:
    how = after_run(delivery(), outcome)
    assert isinstance(how, Settlement)
    return how


def test_an_outcome_settles_with_its_record_and_what_follows():
    outcome = Outcome(1, "SUCCESS", b"{}", 2, 0.1, (FOLLOWING,))

    settlement = after(outcome)

    assert settlement.result is not None
    assert (settlement.result.task_id, settlement.result.state, settlement.result.retries) == ("id", "SUCCESS", 2)
    assert settlement.publish == (FOLLOWING,)
    assert settlement.dead_reason is None


def test_an_outcome_without_a_record_stores_nothing():
    assert after(Outcome(1, "SUCCESS", None, 0, 0.1)).result is None


def test_a_run_that_wants_its_message_back_releases_it_uncounted():
    how = after_run(delivery(), Outcome(1, "REJECTED", None, 0, 0.1, requeue=True))

    assert how == Release(delivery=delivery())


def test_an_outcome_that_is_a_dead_letter_says_why():
    assert after(Outcome(1, "FAILURE", b"{}", 0, 0.1, (), "unreadable")).dead_reason == "unreadable"


@pytest.mark.parametrize(("crashes", "pause"), [(0, 1), (1, 4)])
def test_a_crash_is_counted_and_the_message_kept_back(crashes, pause):
    how = crashed(delivery(crashes=crashes))

    assert how == Release(delivery=delivery(crashes=crashes), eta_at=NOW + pause, cause=ReleaseCause.CRASH)


def test_the_last_crash_is_a_dead_letter_that_answers():
    how = crashed(delivery(crashes=2))

    record = recorded(how)
    assert str(settled(how).dead_reason).startswith("WorkerLostError: ")
    assert "run 3 times" in str(settled(how).dead_reason)
    assert record["status"] == "FAILURE"
    assert record["result"]["exc_type"] == "WorkerLostError"
    assert "SIGKILL" in str(record["result"]["exc_message"])
    assert record_retries(how) == 2


def test_a_crash_of_what_was_acked_early_is_a_failure_and_no_dead_letter():
    how = crashed(delivery(), again=False)

    assert recorded(how)["result"]["exc_type"] == "WorkerLostError"
    assert settled(how).dead_reason is None


def test_a_single_crash_may_be_too_many():
    assert isinstance(crashed(delivery(), policy=Policy(max_crashes=1)), Settlement)


def test_what_is_buried_answers():
    how = after_bury(delivery(), Bury(NotRegistered("shop.pay"), "nobody knows it"), retries=1, done_at=DONE_AT)

    assert how.dead_reason == "NotRegistered: nobody knows it"
    assert recorded(how)["result"]["exc_type"] == "NotRegistered"


def test_what_is_dropped_is_recorded_as_revoked_where_somebody_wants_to_know():
    drop = Drop(TaskRevokedError("expired"))

    wanted = after_drop(delivery(), INTAKE, drop, wanted=True, done_at=DONE_AT)
    unwanted = after_drop(delivery(), INTAKE, drop, wanted=False, done_at=DONE_AT)

    assert recorded(wanted)["status"] == "REVOKED"
    assert unwanted.result is None
    assert wanted.dead_reason is None


def test_what_the_store_refuses_becomes_a_failure_that_says_so_and_publishes_nothing():
    refused = after(Outcome(1, "SUCCESS", b"{}", 2, 0.1, (FOLLOWING,)))

    how = after_refusal_by_store(refused, ValueError("too large"), DONE_AT)

    assert "could not be stored: ValueError: too large" in str(recorded(how)["result"]["exc_message"])
    assert record_retries(how) == 2
    assert how.publish == ()


def test_how_a_process_died_is_told_by_name():
    assert how_it_died(signal.SIGSEGV, 3 * 1024) == "died of signal 11 (SIGSEGV) (peak memory 3 MiB)"
    assert how_it_died(7 << 8, 0) == "exited with status 7"


@pytest.mark.parametrize("number", range(1, signal.SIGRTMAX + 1))
def test_every_signal_that_can_kill_can_be_told(number):
    assert f"signal {number}" in how_it_died(number, 0)


def test_statuses_are_those_that_the_kernel_gives():
    pid = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "kill -TERM $$")

    assert "SIGTERM" in how_it_died(os.waitpid(pid, 0)[1], 0)


def test_a_unique_key_ends_with_its_run():
    assert freeing(Settlement(delivery=delivery(), publish=(FOLLOWING,)), "k").frees == "k"


def test_a_run_that_was_acked_and_is_published_again_keeps_its_unique_key():
    acked = delivery()

    assert freeing(Settlement(delivery=acked, publish=(acked.message,)), "k").frees is None


@pytest.mark.parametrize(("task_id", "key", "frees"), [("id", "k", None), ("id", "other", "k"), ("next", "k", "k")])
def test_a_unique_key_is_kept_for_the_next_attempt(task_id, key, frees):
    unique = Unique(key=key, lasts=1.0, on_conflict=OnConflict.KEEP)
    following = Message(task_id=task_id, queue="celery", headers=b"{}", body=b"[]", unique=unique)

    assert freeing(Settlement(delivery=delivery(), publish=(following,)), "k").frees == frees
