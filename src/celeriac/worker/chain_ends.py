"""The end of a chain, when one of its steps has not succeeded: those that follow have failed likewise. Pure."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from celeriac.app.records import failed_steps
from celeriac.brokers.base import Settlement
from celeriac.states import PROPAGATE_STATES
from celeriac.wire.forms import JSON_FORM, RecordForm
from celeriac.wire.protocol import read_request
from celeriac.wire.results import exception_from_map, read_record
from celeriac.wire.serializers import JSON_CONTENT

logger: Final = logging.getLogger("celeriac.worker")

_STEPS: Final = b'"chain": [{'


def ending_chain(settlement: Settlement, *, form: RecordForm = JSON_FORM) -> Settlement:
    """Return a settlement that also records the failure for the steps that would have followed.

    For what never came to its body, or died in it; a run that failed has said so itself. Of the bodies only JSON is
    read, for this happens in the supervisor.
    """
    result, message = settlement.result, settlement.delivery.message
    if result is None or result.state not in PROPAGATE_STATES or settlement.others:
        return settlement
    if message.content_type != JSON_CONTENT or _STEPS not in message.body:
        return settlement
    try:
        chain = read_request(message).chain
        told = read_record(result.record, form)
        error = exception_from_map(told.result)
        others = failed_steps(chain, error, told.traceback, told.date_done or "", form=form, state=result.state)
    except Exception as exc:  # noqa: BLE001 - the message is one that something is wrong with
        logger.warning("the steps that follow message %s cannot be read: %s", message.task_id, exc)
        return settlement
    return msgspec.structs.replace(settlement, others=others)
