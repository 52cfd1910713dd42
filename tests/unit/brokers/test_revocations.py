from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.revocations import (
    AGAIN_AFTER,
    RENEWED_BY,
    Kept,
    Revocation,
    error_of,
    is_news,
    kept_revocation,
    said_by,
)
from celeriac.exceptions import TaskCancelled, TaskRevokedError

NOW = 1_000_000.0

revocations = st.builds(
    Revocation,
    task_id=st.text(min_size=1),
    at=st.just(NOW),
    expires_at=st.floats(min_value=NOW, max_value=2 * NOW),
    reason=st.none() | st.text(),
    by=st.none() | st.text(),
    terminate=st.booleans(),
    signal=st.sampled_from(["SIGTERM", "SIGKILL"]),
    grace=st.none() | st.floats(min_value=0, max_value=1e6),
    cancel=st.booleans(),
)


def revocation(**said) -> Revocation:
    return Revocation(task_id="id-1", **{"at": NOW, "expires_at": NOW + 60.0, **said})


def kept(one: Revocation) -> Kept:
    return Kept(one.at, one.expires_at, said_by(one))


@given(revocations)
def test_what_is_kept_is_read_again(one: Revocation):
    assert kept_revocation(one.task_id, one.at, one.expires_at, said_by(one)) == one


@pytest.mark.parametrize("said", ["", "{", "[]", '{"terminate": 5}', b"\xff", '{"grace": "x"}'])
def test_an_id_stays_revoked_whatever_became_of_what_was_said(said):
    assert kept_revocation("id-1", NOW, NOW + 60.0, said) == revocation()


@given(revocations)
def test_the_same_once_more_is_no_news(one: Revocation):
    assert not is_news(kept(one), one)


@given(revocations, revocations)
def test_whatever_says_something_else_is_news(one: Revocation, another: Revocation):
    assert is_news(None, one)
    assert is_news(kept(one), another) or said_by(one) == said_by(another)


def test_one_that_lasts_longer_is_news_when_it_is_by_much():
    old = revocation()

    assert not is_news(kept(old), revocation(at=NOW + 100.0, expires_at=old.expires_at + RENEWED_BY - 1.0))
    assert is_news(kept(old), revocation(at=NOW + 100.0, expires_at=old.expires_at + RENEWED_BY))


@pytest.mark.parametrize(("said", "news"), [({}, False), ({"terminate": True}, True), ({"cancel": True}, True)])
def test_what_ends_runs_does_so_again_after_a_while(said, news):
    old = revocation(**said)

    assert not is_news(kept(old), revocation(at=NOW + AGAIN_AFTER / 2, **said))
    assert is_news(kept(old), revocation(at=NOW + AGAIN_AFTER, **said)) is news


def test_a_run_ends_with_what_was_said():
    assert repr(error_of(revocation(terminate=True))) == repr(TaskRevokedError("revoked"))
    assert repr(error_of(revocation(cancel=True, reason="late", by="ann"))) == repr(TaskCancelled("late", "ann"))
