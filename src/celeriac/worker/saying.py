"""Decide which events tell of the end of a message. Pure: what happened in, events out."""

from __future__ import annotations

from celeriac.app.events.task_events import Says, failed, rejected, retried, revoked, succeeded, told_failure
from celeriac.states import FAILURE, REJECTED, RETRY, REVOKED, SUCCESS
from celeriac.worker.held import Verdict
from celeriac.worker.runs import REJECTED_REASON, Outcome


def saying_outcome(outcome: Outcome) -> tuple[Says, ...]:
    """Tell of a run that came to something by itself. Of an ignored one nothing is told, as in Celery."""
    told = outcome.told or ""
    state = outcome.state
    if state == SUCCESS:
        return (succeeded(told),)
    if state == RETRY:
        return (retried(told),)
    if state == REVOKED:
        return (revoked(terminated=True),)
    if state == REJECTED:
        return (rejected(requeue=True),)
    if state != FAILURE:
        return ()
    # Celery's workers leave it at the rejection; here the record says FAILURE, and monitors should as well.
    is_rejected = outcome.dead_reason is not None and outcome.dead_reason.startswith(REJECTED_REASON)
    return (rejected(requeue=False), failed(told)) if is_rejected else (failed(told),)


def saying_killed(verdict: Verdict) -> tuple[Says, ...]:
    """Tell of a run that was ended from outside."""
    if verdict.state == REVOKED:
        return (revoked(terminated=True, signum=verdict.signum),)
    return saying_failed(verdict.error)


def saying_failed(error: BaseException) -> tuple[Says, ...]:
    """Tell of a failure that no child has told of."""
    return (failed(told_failure(error, None)),)


def saying_retried(error: BaseException) -> tuple[Says, ...]:
    """Tell likewise of a run that is tried again."""
    return (retried(told_failure(error, None)),)


def saying_given_back() -> tuple[Says, ...]:
    """Tell that a message runs again that has run."""
    return (rejected(requeue=True),)


def saying_dropped(*, expired: bool) -> tuple[Says, ...]:
    """Tell of a message that nobody wanted any more."""
    return (revoked(expired=expired),)
