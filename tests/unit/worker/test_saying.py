from __future__ import annotations

from typing import Any

import pytest

from celeriac.states import FAILURE, IGNORED, REJECTED, RETRY, REVOKED, SUCCESS
from celeriac.worker.held import Verdict
from celeriac.worker.runs import Outcome
from celeriac.worker.saying import saying_dropped, saying_failed, saying_given_back, saying_killed, saying_outcome


def outcome(state: str, **more: Any) -> Outcome:
    return Outcome(1, state, None, 0, 0.1, told=',"result":"3"', **more)


@pytest.mark.parametrize(
    ("ended", "kinds"),
    [
        (outcome(SUCCESS), ["task-succeeded"]),
        (outcome(FAILURE), ["task-failed"]),
        (outcome(FAILURE, dead_reason="ValueError: no"), ["task-failed"]),
        (outcome(FAILURE, dead_reason="Reject: not me"), ["task-rejected", "task-failed"]),
        (outcome(RETRY), ["task-retried"]),
        (outcome(REVOKED), ["task-revoked"]),
        (outcome(REJECTED, requeue=True), ["task-rejected"]),
        (outcome(IGNORED), []),
    ],
)
def test_an_outcome_says_which_events_follow(ended, kinds):
    assert [kind for kind, _ in saying_outcome(ended)] == kinds


def test_a_run_that_was_ended_says_by_what():
    assert saying_killed(Verdict(REVOKED, ValueError(), signum=9)) == (
        ("task-revoked", ',"terminated":true,"signum":9,"expired":false'),
    )
    assert saying_killed(Verdict(FAILURE, ValueError("no"))) == saying_failed(ValueError("no"))


def test_a_message_that_runs_again_or_never_says_so():
    assert saying_given_back() == (("task-rejected", ',"requeue":true'),)
    assert saying_dropped(expired=True) == (("task-revoked", ',"terminated":false,"signum":null,"expired":true'),)
