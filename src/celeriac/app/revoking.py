"""Revoke ids: store it, and record REVOKED where nobody will. Programs and nodes both do this."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from celeriac.brokers.base import ResultMeta
from celeriac.brokers.revocations import REVOCATION_EXPIRES, Revocation, error_of
from celeriac.exceptions import OperationalError
from celeriac.states import PENDING, RECEIVED, REJECTED, RETRY, REVOKED
from celeriac.wire.control import commands_of
from celeriac.wire.results import exception_map, write_record
from celeriac.wire.stamps import is_stamp_id
from celeriac.wire.times import iso_text

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.backends.base import ResultBackend, StoredResult

logger: Final = logging.getLogger("celeriac.control")

_BEFORE_A_RUN: Final = frozenset((PENDING, RECEIVED, RETRY, REJECTED))
"""States of runs that nobody has begun. As Celery has it, any other is left to whoever runs it."""

_CHUNK: Final = 1_000


def revocations_of(
    task_ids: Collection[str],
    *,
    reason: str | None = None,
    by: str | None = None,
    terminate: bool = False,
    signal: str = "SIGTERM",
    grace: float | None = None,
    cancel: bool = False,
) -> list[Revocation]:
    """Revoke ids from now on; see `Revocation`."""
    now = time.time()
    return [
        Revocation(
            task_id=task_id,
            at=now,
            expires_at=now + REVOCATION_EXPIRES,
            reason=reason,
            by=by,
            terminate=terminate,
            signal=signal,
            grace=grace,
            cancel=cancel,
        )
        for task_id in task_ids
    ]


def store(app: Celery, revocations: Sequence[Revocation]) -> list[str]:
    """Store revocations, and return the ids of which that is news.

    Raises:
        BrokerUnavailable: no confirmation within `task_publish_timeout`.
    """
    return app.broker.revoke(revocations, deadline_at=time.monotonic() + app.conf.task_publish_timeout)


def record(app: Celery, revocations: Sequence[Revocation]) -> None:
    """Record REVOKED of those runs that nobody has begun, after the revocations were stored.

    Nobody begins them any more: whoever claims one afterwards is told. What a node holds it ends itself, unless it is
    under way already. Somebody who waits for a result hears of it now, and not when a worker comes by. Workers of
    Celery forget what they run as soon as it has begun; where there are any, they record what they have not begun.
    """
    backend = app.backend
    revocations = [one for one in revocations if not is_stamp_id(one.task_id)]  # nobody knows whose they are
    if backend is None or not revocations:
        return
    try:
        if app.broker.has_other_workers(commands_of(app.conf.control_exchange)):
            return
        for first in range(0, len(revocations), _CHUNK):
            chunk = revocations[first : first + _CHUNK]
            held = app.broker.claimed([one.task_id for one in chunk])
            _record(app, backend, [one for one in chunk if one.task_id not in held])
    except OperationalError as exc:
        logger.warning("%d runs are revoked, and it is not recorded yet: %s", len(revocations), exc)


def _record(app: Celery, backend: ResultBackend, revocations: Sequence[Revocation]) -> None:
    if not revocations:
        return
    kept = backend.get_many([one.task_id for one in revocations])
    undecided = [one for one in revocations if one.task_id not in kept or kept[one.task_id].state in _BEFORE_A_RUN]
    if undecided:
        backend.note([_meta(app, one, kept.get(one.task_id)) for one in undecided])


def _meta(app: Celery, revocation: Revocation, kept: StoredResult | None) -> ResultMeta:
    form = app.conf.record_form
    value = exception_map(error_of(revocation), form)
    done_at = iso_text(time.time(), zone=app.conf.zone)
    text = write_record(task_id=revocation.task_id, state=REVOKED, result=value, date_done=done_at, form=form)
    retries = 0 if kept is None else kept.retries + (kept.state == RETRY)
    return ResultMeta(task_id=revocation.task_id, state=REVOKED, record=text, retries=retries)
