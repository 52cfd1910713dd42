"""Decide what follows from the end of a run. Pure: what happened in, what to settle out."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.app.task import Task
from celeriac.brokers.base import Delivery, Release, ReleaseCause, ResultMeta, Settlement
from celeriac.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celeriac.message import Message
from celeriac.states import FAILURE, REVOKED, STARTED
from celeriac.wire.forms import JSON_FORM, RecordForm
from celeriac.wire.properties import read_properties
from celeriac.wire.protocol import Intake
from celeriac.wire.results import exception_map, write_record
from celeriac.worker.decide import Bury, Drop, Policy, crash_delay
from celeriac.worker.held import Verdict
from celeriac.worker.runs import Outcome

_TIMEOUTS: Final = (SoftTimeLimitExceeded, TimeLimitExceeded)


def after_start(delivery: Delivery, intake: Intake, *, pid: int, node: str, form: RecordForm = JSON_FORM) -> ResultMeta:
    """Record that a run has begun, for tasks with `track_started`."""
    task_id = delivery.message.task_id
    told = {"pid": pid, "hostname": node}
    record = write_record(task_id=task_id, state=STARTED, result=told, date_done=None, form=form)
    return ResultMeta(task_id=task_id, state=STARTED, record=record, retries=intake.retries)


def after_run(delivery: Delivery, outcome: Outcome) -> Settlement | Release:
    """Settle a run that came to an outcome."""
    if outcome.requeue:
        return Release(delivery=delivery)
    return Settlement(
        delivery=delivery,
        result=_meta(delivery, outcome.state, outcome.record, outcome.retries),
        publish=outcome.publish,
        dead_reason=outcome.dead_reason,
        others=outcome.others,
        joins=outcome.joins,
    )


def after_drop(
    delivery: Delivery, intake: Intake, drop: Drop, *, wanted: bool, done_at: str, form: RecordForm = JSON_FORM
) -> Settlement:
    """Settle a message that nobody wants any more."""
    record = failure_record(delivery.message, drop.error, done_at, state=REVOKED, form=form) if wanted else None
    return Settlement(delivery=delivery, result=_meta(delivery, REVOKED, record, intake.retries))


def after_bury(
    delivery: Delivery, bury: Bury, *, retries: int, done_at: str, form: RecordForm = JSON_FORM
) -> Settlement:
    """Dead-letter a message, and answer whoever waits for its result."""
    return Settlement(
        delivery=delivery,
        result=_meta(delivery, FAILURE, failure_record(delivery.message, bury.error, done_at, form=form), retries),
        dead_reason=f"{type(bury.error).__name__}: {bury.reason}",
    )


def after_crash(
    delivery: Delivery,
    intake: Intake,
    *,
    died: str,
    again: bool,
    policy: Policy,
    now: float,
    done_at: str,
    form: RecordForm = JSON_FORM,
) -> Settlement | Release:
    """Settle a message whose child died under it: another try, later, or a dead letter.

    Args:
        died: how the child ended, for people (`how_it_died`).
        again: False for a message that was acked before its run, and so can only fail.
        now: the store's clock.
    """
    crashes = delivery.crashes + 1
    if again and crashes < policy.max_crashes:
        return Release(delivery=delivery, eta_at=now + crash_delay(crashes), cause=ReleaseCause.CRASH)
    error = lost_error(delivery, intake, died)
    lost = Bury(error, str(error))
    settlement = after_bury(delivery, lost, retries=intake.retries, done_at=done_at, form=form)
    return settlement if again else Settlement(delivery=delivery, result=settlement.result)


def lost_error(delivery: Delivery, intake: Intake, died: str) -> WorkerLostError:
    """Return what a run ends with that died for the last time."""
    times = delivery.crashes + 1
    return WorkerLostError(f"the process that ran task {intake.task}[{intake.id}] {died}; it was run {times} times")


def after_kill(
    delivery: Delivery,
    intake: Intake,
    verdict: Verdict,
    *,
    wanted: bool,
    dead: bool,
    done_at: str,
    form: RecordForm = JSON_FORM,
) -> Settlement:
    """Settle a run that was ended from outside.

    Args:
        wanted: somebody wants its record.
        dead: the message is a dead letter besides.
    """
    record = None
    if wanted:
        record = failure_record(delivery.message, verdict.error, done_at, state=verdict.state, form=form)
    return Settlement(
        delivery=delivery,
        result=_meta(delivery, verdict.state, record, intake.retries),
        dead_reason=f"{type(verdict.error).__name__}: {verdict.error}" if dead else None,
    )


def acks_failure(task: Task[..., Any], exc: BaseException) -> bool:
    """Say whether a run that failed is done with; else its message is a dead letter."""
    own = task.acks_on_timeout if isinstance(exc, _TIMEOUTS) else task.acks_on_failure
    return task.acks_on_failure_or_timeout if own is None else own


def after_refusal_by_store(
    settlement: Settlement, error: Exception, done_at: str, *, form: RecordForm = JSON_FORM
) -> Settlement:
    """Settle a run whose outcome the store will not take (a value too large for it): as a failure that says so."""
    delivery = settlement.delivery
    text = f"the result of message {delivery.message.task_id} could not be stored: {type(error).__name__}: {error}"
    retries = settlement.result.retries if settlement.result else 0
    record = failure_record(delivery.message, RuntimeError(text), done_at, form=form)
    return Settlement(delivery=delivery, result=_meta(delivery, FAILURE, record, retries))


def freeing(settlement: Settlement, key: str) -> Settlement:
    """Have the unique key of a run end with it, unless it is published again, or its next attempt keeps the key."""
    message = settlement.delivery.message
    if any(
        one is message or (one.task_id == message.task_id and one.unique is not None and one.unique.key == key)
        for one in settlement.publish
    ):
        return settlement
    return msgspec.structs.replace(settlement, frees=key)


def addressed(results: Sequence[ResultMeta], message: Message) -> list[ResultMeta]:
    """Have results say where the caller hears of them, as the message says."""
    properties = read_properties(message)
    reply_to, name = properties.get("reply_to"), properties.get("correlation_id")
    if not isinstance(reply_to, str):
        return list(results)
    own = name if isinstance(name, str) else None
    return [
        msgspec.structs.replace(
            one, reply_to=reply_to, correlation_id=own if one.task_id == message.task_id else one.task_id
        )
        for one in results
    ]


def failure_record(
    message: Message, error: BaseException, done_at: str, *, state: str = FAILURE, form: RecordForm = JSON_FORM
) -> bytes:
    """Write the record of a message that ended without its body having had a say."""
    result = exception_map(error, form)
    return write_record(task_id=message.task_id, state=state, result=result, date_done=done_at, form=form)


def how_it_died(status: int, peak_kib: int) -> str:
    """Tell how a process ended, from its wait status, and the most memory that it had."""
    memory = f" (peak memory {peak_kib // 1024} MiB)" if peak_kib else ""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = next((one.name for one in signal.Signals if one == number), "a real-time signal")
        return f"died of signal {number} ({name}){memory}"
    return f"exited with status {os.waitstatus_to_exitcode(status)}{memory}"


def _meta(delivery: Delivery, state: str, record: bytes | None, retries: int) -> ResultMeta | None:
    if record is None:
        return None
    return ResultMeta(task_id=delivery.message.task_id, state=state, record=record, retries=retries)
