"""Events: what nodes and programs tell of themselves and of tasks, as Celery writes and reads it. Pure.

An event is a dict with a type, such as ``task-started``; the word before the first dash is its group. One notice on
the bus holds one event, or a list of several of the group ``task``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import dumps
from celeriac.wire.limits import DEFAULT_LIMITS, Limits
from celeriac.wire.notices import Notice
from celeriac.wire.serializers import JSON, Serializer, reader_of

Event = dict[str, Any]

SOFTWARE: Final = "py-celeriac"
"""What nodes of celeriac call their software."""

MULTI: Final = "multi"
"""Stands in a routing key for the types of several events, as in ``task.multi``."""

_TYPE: Final = re.compile(r"[A-Za-z0-9_.]{1,64}-[A-Za-z0-9_.-]{1,128}")
_NAME_MAX_CHARS: Final = 1_024
_CLOCK_MAX: Final = 2**62
_HOURS_MAX: Final = 24


def group_of(kind: str) -> str:
    """Return the group of a type of events: ``task`` for ``task-sent``."""
    return kind.partition("-")[0]


def routing_key_of(kind: str) -> str:
    """Return the routing key under which an event of a type is said: ``task.sent`` for ``task-sent``."""
    return kind.replace("-", ".")


def hours_west() -> float:
    """Return how many hours this machine's zone is west of UTC now, which is what events call their `utcoffset`."""
    offset = datetime.now().astimezone().utcoffset()
    return -offset.total_seconds() / 3600 if offset else 0.0


def made(
    kind: str, fields: Mapping[str, Any], *, hostname: str, pid: int, clock: int, at: float, utcoffset: float
) -> Event:
    """Put an event together, its keys in Celery's order.

    Args:
        kind: its type.
        fields: its own ones; they win over those that all events have.
        at: unix instant.
    """
    common = {"hostname": hostname, "utcoffset": utcoffset, "pid": pid, "clock": clock}
    return {**common, **fields, "timestamp": fields.get("timestamp", at), "type": kind}


def notice_of(event: Event | Sequence[Event], *, exchange: str, hostname: str, serializer: Serializer = JSON) -> Notice:
    """Write one event, or several of one group.

    Raises:
        EncodeError: a field cannot be written.
    """
    key = routing_key_of(event["type"]) if isinstance(event, dict) else f"{group_of(event[0]['type'])}.{MULTI}"
    body = serializer.dumps(event if isinstance(event, dict) else list(event), name="event")
    return Notice(
        exchange=exchange,
        routing_key=key,
        body=body,
        headers=dumps({"hostname": hostname}),
        content_type=serializer.content_type,
        content_encoding=serializer.content_encoding,
    )


def batch_of(events: Sequence[str], *, exchange: str, routing_key: str, headers: bytes) -> Notice:
    """Write events that are JSON objects already as one list."""
    return Notice(exchange=exchange, routing_key=routing_key, body=f"[{','.join(events)}]".encode(), headers=headers)


def read_events(
    notice: Notice, content_types: frozenset[str] = frozenset({JSON.content_type}), *, limits: Limits = DEFAULT_LIMITS
) -> tuple[list[Event], list[str]]:
    """Read what a notice tells.

    Args:
        content_types: what may be decoded.

    Returns:
        The events that can be used, in their order, and what is wrong with the others.

    Raises:
        DecodeError: nothing of it can be read.
    """
    if notice.content_type not in content_types:
        raise DecodeError(f"an event is {notice.content_type!r:.100}, which is not accepted (event_serializer)")
    if len(notice.body) > limits.max_bytes:
        raise DecodeError(f"events of {len(notice.body)} bytes are over the limit of {limits.max_bytes}")
    said = reader_of(notice.content_type).loads(notice.body, max_depth=limits.max_depth, name="event")
    found, faults = [], []
    for one in said if isinstance(said, list) else [said]:
        fault = fault_of(one)
        if fault is None:
            found.append(one)
        else:
            faults.append(fault)
    return found, faults


def fault_of(event: Any) -> str | None:
    """Say what is wrong with what should be an event; None when it can be used."""
    if not isinstance(event, dict):
        return f"it is no object but {type(event).__name__}"
    kind, hostname = event.get("type"), event.get("hostname")
    if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
        return f"its type is {kind!r:.100}"
    if not isinstance(hostname, str) or not 0 < len(hostname) <= _NAME_MAX_CHARS:
        return f"the hostname of a {kind} is {hostname!r:.100}"
    if not _is_number(event.get("timestamp")):
        return f"the timestamp of a {kind} is {event.get('timestamp')!r:.100}"
    clock = event.get("clock", 0)
    if type(clock) is not int or not 0 <= clock < _CLOCK_MAX:
        return f"the clock of a {kind} is {clock!r:.100}"
    offset = event.get("utcoffset", 0)
    if not _is_number(offset) or abs(offset) > _HOURS_MAX:
        return f"the utcoffset of a {kind} is {offset!r:.100}"
    return _fault_of_group(kind, event)


def _fault_of_group(kind: str, event: Event) -> str | None:
    group = group_of(kind)
    if group == "task":
        uuid = event.get("uuid")
        if not isinstance(uuid, str) or not 0 < len(uuid) <= _NAME_MAX_CHARS:
            return f"the uuid of a {kind} is {uuid!r:.100}"
    if group == "worker" and event.get("freq") is not None and not _is_number(event["freq"]):
        return f"the freq of a {kind} is {event['freq']!r:.100}"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e15
