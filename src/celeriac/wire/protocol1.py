"""Celery's task messages of protocol 1, for workers that know no other: everything is in the body."""

from __future__ import annotations

from typing import Any

from celeriac.exceptions import EncodeError
from celeriac.message import Message
from celeriac.wire.headers import RESERVED
from celeriac.wire.jsontypes import dumps
from celeriac.wire.limits import DEFAULT_LIMITS, Limits
from celeriac.wire.protocol import Call, check_call, packed
from celeriac.wire.serializers import writer_named
from celeriac.wire.times import iso_text


def write_message_1(call: Call, *, limits: Limits = DEFAULT_LIMITS, reply_to: str | None = None) -> Message:
    """Write a call as a message of protocol 1.

    Of what protocol 2 added nothing is said, as in Celery: name for logs, parents, stamps, reprs of arguments, origin,
    and whether the result is to be kept.

    Raises:
        EncodeError: an argument or header cannot be written; the text names it. Or the call has a chain, for which
            protocol 1 has no place, or a header that would make it look like protocol 2.
        MessageTooLarge: the message is over one of `limits`.
    """
    check_call(call, limits)
    if call.chain:
        raise EncodeError(f"a chain of {call.task!r} cannot be sent in protocol 1; set task_protocol to 2")
    custom = dict(call.headers or {})
    known = sorted(RESERVED & custom.keys())
    if known:
        raise EncodeError(f"custom headers of {call.task!r} name {known[0]!r}, which is a header of protocol 2")
    serializer = writer_named(call.serializer)
    body = serializer.dumps(_body_of(call), name="body", max_depth=limits.max_depth)
    headers = dumps(custom, name="headers", max_depth=limits.max_depth) if custom else b"{}"
    return packed(call, headers, body, serializer, limits, reply_to)


def _body_of(call: Call) -> dict[str, Any]:
    """Return the body, in the order in which Celery writes it."""
    return {
        "task": call.task,
        "id": call.id,
        "args": list(call.args),
        "kwargs": dict(call.kwargs),
        "group": call.group,
        "group_index": call.group_index,
        "retries": call.retries,
        "eta": call.eta_text if call.eta_at is None or call.eta_text else iso_text(call.eta_at),
        "expires": call.expires_text if call.expires_at is None or call.expires_text else iso_text(call.expires_at),
        "utc": True,
        "callbacks": None if call.callbacks is None else list(call.callbacks),
        "errbacks": None if call.errbacks is None else list(call.errbacks),
        "timelimit": [call.time_limit, call.soft_time_limit],
        "taskset": call.group,
        "chord": call.chord,
    }
