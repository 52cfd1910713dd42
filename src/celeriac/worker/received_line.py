"""The log line about a message that was claimed, with what Celery's handlers find in it."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from celeriac.app import trace
from celeriac.message import Message
from celeriac.wire.protocol import Intake

logger: Final = logging.getLogger("celeriac.worker")

_SHOWN_MAX: Final = 1_024


class _Shown(msgspec.Struct, gc=False):
    """Read of the headers what only people look at."""

    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    eta: str | None = None


_NOTHING: Final = _Shown()
_read: Final = msgspec.json.Decoder(_Shown).decode


def log_received(message: Message, facts: Intake) -> None:
    """Log that a node has a message; `record.data` has `id`, `name`, `args`, `kwargs` and `eta`, all as text."""
    try:
        shown = _read(message.headers)
    except msgspec.MsgspecError:
        shown = _NOTHING
    data = {
        "id": facts.id,
        "name": shown.shadow or facts.task,
        "args": (shown.argsrepr or "")[:_SHOWN_MAX],
        "kwargs": (shown.kwargsrepr or "")[:_SHOWN_MAX],
        "eta": shown.eta,
    }
    logger.info(trace.LOG_RECEIVED, data, extra={"data": data})
