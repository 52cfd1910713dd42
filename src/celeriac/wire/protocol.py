"""Celery's task messages: protocol 2 written, protocols 2 and 1 read.

There are two readers. `read_intake` is for the supervisor, which decides on a message without running it and looks
at a handful of headers. `read_request` is for the child that runs the task, and decodes everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Final, Literal

import msgspec

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, MessageTooLarge
from celeriac.message import Message
from celeriac.wire.headers import (
    MAX_RETRIES,
    Headers,
    check_size,
    convert_headers,
    custom_headers,
    read_fields,
    read_headers,
)
from celeriac.wire.jsontypes import dumps, dumps_text, loads
from celeriac.wire.limits import DEFAULT_LIMITS, Limits
from celeriac.wire.properties import PERSISTENT, read_properties
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.times import iso_text, parse_iso

JSON_CONTENT: Final = "application/json"
_NO_EMBED: Final = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'


class Call(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """Say everything that a producer decides about one call.

    Attributes:
        eta_at: unix instant before which the task does not start; `eta_text` is how the header spells it (default:
            in UTC). The same for `expires_at`.
        root_id: first task of the workflow; None: this one.
        ignore_result: None leaves it to the task, as for a task that the producer does not know.
        headers: custom ones, put beside the protocol's own.
        argsrepr: what people get to see of the arguments; None: a bounded repr.
        expiration_ms: what goes into the property of that name.
        properties: further ones.
    """

    task: str
    id: str
    queue: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    eta_at: float | None = None
    eta_text: str | None = None
    expires_at: float | None = None
    expires_text: str | None = None
    retries: int = 0
    shadow: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    ignore_result: bool | None = False
    priority: int | None = None
    headers: Mapping[str, Any] | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    replaced_task_nesting: int = 0
    stamped_headers: Sequence[str] | None = None
    stamps: Mapping[str, Any] = {}
    reply_to: str | None = None
    callbacks: Sequence[Any] | None = None
    errbacks: Sequence[Any] | None = None
    chain: Sequence[Any] | None = None
    chord: Any = None
    delivery_mode: int = PERSISTENT
    expiration_ms: int | None = None
    properties: Mapping[str, Any] | None = None


def write_message(call: Call, *, origin: str, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Write a call as a message of protocol 2.

    Args:
        origin: `gen<pid>@<host>` of the publishing process.

    Raises:
        EncodeError: an argument, header or stamp cannot be written; the text names it.
        MessageTooLarge: the message is over one of `limits`.
    """
    _check_names(call, limits)
    headers = _write_headers(call, origin, limits)
    body = _write_body(call, limits)
    size_bytes = len(headers) + len(body)
    if size_bytes > limits.max_bytes:
        raise MessageTooLarge(
            f"call of {call.task!r} (id {call.id}) makes a message of {size_bytes} bytes, over the limit of "
            f"{limits.max_bytes}; pass a reference to the data, or raise message_max_bytes"
        )
    return Message(
        task_id=call.id,
        queue=call.queue,
        headers=headers,
        body=body,
        priority=call.priority or 0,
        eta_at=call.eta_at,
        properties=_write_properties(call),
    )


def _check_names(call: Call, limits: Limits) -> None:
    if not 0 < len(call.task) <= limits.max_task_name:
        raise EncodeError(f"task name of {len(call.task)} characters; allowed are 1 to {limits.max_task_name}")
    if not 0 < len(call.id) <= limits.max_id:
        raise EncodeError(f"task id of {len(call.id)} characters; allowed are 1 to {limits.max_id}")
    if call.priority is not None and not 0 <= call.priority <= 255:
        raise EncodeError(f"priority must be a whole number from 0 to 255, got {call.priority}")


def _write_headers(call: Call, origin: str, limits: Limits) -> bytes:
    headers = Headers(
        "py",
        call.task,
        call.id,
        call.shadow,
        call.eta_text if call.eta_at is None or call.eta_text is not None else iso_text(call.eta_at),
        call.expires_text if call.expires_at is None or call.expires_text is not None else iso_text(call.expires_at),
        call.group,
        call.group_index,
        call.retries,
        (call.time_limit, call.soft_time_limit),
        call.root_id or call.id,
        call.parent_id,
        bounded_repr(call.args) if call.argsrepr is None else call.argsrepr,
        bounded_repr(call.kwargs) if call.kwargsrepr is None else call.kwargsrepr,
        origin,
        call.ignore_result,
        call.replaced_task_nesting,
    )
    if not call.headers and not call.stamps and call.stamped_headers is None:
        return _encode_headers(headers)
    return _write_more_headers(headers, call, limits)


_encode_headers: Final = msgspec.json.Encoder().encode


def _write_more_headers(headers: Headers, call: Call, limits: Limits) -> bytes:
    """Write headers that hold values of users, which only the slower encoder writes rightly."""
    fields = msgspec.structs.asdict(headers)
    fields["stamped_headers"] = None if call.stamped_headers is None else list(call.stamped_headers)
    fields["stamps"] = dict(call.stamps)
    custom = dict(call.headers or {})
    for name in ("task", "id"):
        if custom.get(name, fields[name]) != fields[name]:
            raise EncodeError(f"headers[{name!r}] would replace the message's own {name}; use another name")
    fields |= custom
    written = dumps(fields, name="headers", max_depth=limits.max_depth)
    if len(fields) > limits.max_headers or len(written) > limits.max_header_bytes:
        raise MessageTooLarge(
            f"{len(fields)} headers of {len(written)} bytes are over the limit of {limits.max_headers} headers "
            f"and {limits.max_header_bytes} bytes; pass the data as arguments, or raise message_max_headers"
        )
    return written


def _write_body(call: Call, limits: Limits) -> bytes:
    args = dumps_text(call.args if isinstance(call.args, (list, tuple)) else list(call.args), name="args")
    kwargs = dumps_text(call.kwargs if isinstance(call.kwargs, dict) else dict(call.kwargs), name="kwargs")
    if call.callbacks is None and call.errbacks is None and call.chain is None and call.chord is None:
        embed = _NO_EMBED
    else:
        embed = dumps_text(
            {"callbacks": call.callbacks, "errbacks": call.errbacks, "chain": call.chain, "chord": call.chord},
            name="embed",
        )
    return f"[{args}, {kwargs}, {embed}]".encode()


def _write_properties(call: Call) -> bytes | None:
    if (
        call.reply_to is None
        and call.properties is None
        and call.expiration_ms is None
        and call.delivery_mode == PERSISTENT
    ):
        return None
    properties: dict[str, Any] = dict(call.properties or {})
    if call.reply_to is not None:
        properties["reply_to"] = call.reply_to
    if call.delivery_mode != PERSISTENT:
        properties["delivery_mode"] = call.delivery_mode
    if call.expiration_ms is not None:
        properties["expiration"] = str(call.expiration_ms)
    return dumps(properties, name="properties") if properties else None


class Intake(msgspec.Struct, frozen=True, gc=False):
    """Know of a message what a node decides on."""

    task: str
    id: str
    eta_at: float | None
    expires_at: float | None
    retries: int
    ignore_result: bool | None
    protocol: Literal[1, 2]


class _Facts(msgspec.Struct, gc=False):
    """Hold the fields that `Intake` is made of, as both protocols name them."""

    task: str | None = None
    id: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = 0
    ignore_result: bool | None = None
    utc: bool | None = True


_decode_facts: Final = msgspec.json.Decoder(_Facts).decode


def read_intake(message: Message, *, limits: Limits = DEFAULT_LIMITS, zone: tzinfo = UTC) -> Intake:
    """Read the few facts that a node decides on.

    Args:
        zone: what times without offset are meant in.

    Raises:
        DecodeError: the message is malformed, wrongly typed or over a limit; the text is the dead letter's reason.
    """
    _check_message(message, limits)
    facts = _read_facts(message.headers, limits)
    protocol: Literal[1, 2] = 2
    if facts.task is None:
        protocol = 1
        facts = _read_facts_of_body(message, limits)
        zone = zone if facts.utc is False else UTC
    task, task_id = _checked_names(facts.task, facts.id, limits)
    return Intake(
        task,
        task_id,
        None if facts.eta is None else _instant("eta", facts.eta, zone),
        None if facts.expires is None else _instant("expires", facts.expires, zone),
        _checked_retries(facts.retries),
        facts.ignore_result,
        protocol,
    )


def _check_message(message: Message, limits: Limits) -> None:
    if message.content_type != JSON_CONTENT:
        raise ContentDisallowed(
            f"body of message {message.task_id} is {message.content_type!r}, not in accept_content ['json']"
        )
    if len(message.headers) + len(message.body) > limits.max_bytes:
        raise DecodeError(
            f"message {message.task_id} has {message.size_bytes} bytes, over the limit of {limits.max_bytes} "
            "(message_max_bytes)"
        )
    check_size(message.headers, limits=limits)


def _read_facts(data: bytes, limits: Limits) -> _Facts:
    try:
        return _decode_facts(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = read_fields(data, limits=limits)  # says what is wrong, or finds that nothing is
    headers = convert_headers(fields)
    return _Facts(headers.task, headers.id, headers.eta, headers.expires, headers.retries, headers.ignore_result)


def _read_facts_of_body(message: Message, limits: Limits) -> _Facts:
    try:
        return _decode_facts(message.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = _read_body_v1(message, limits)
    headers = convert_headers(fields)
    return _Facts(
        headers.task, headers.id, headers.eta, headers.expires, headers.retries, None, fields.get("utc") is not False
    )


def _instant(name: str, text: str, zone: tzinfo) -> float:
    try:
        return parse_iso(text, zone=zone)
    except (ValueError, OverflowError) as exc:
        raise DecodeError(f"{name}: {exc}") from exc


def _checked_names(task: str | None, task_id: str | None, limits: Limits) -> tuple[str, str]:
    if not task or not task_id:
        raise DecodeError(f"message has no {'task name' if not task else 'id'}, in its headers or its body")
    if len(task) > limits.max_task_name or len(task_id) > limits.max_id:
        raise DecodeError(
            f"task name of {len(task)} and id of {len(task_id)} characters; the limits are {limits.max_task_name} "
            f"and {limits.max_id}"
        )
    return task, task_id


def _checked_retries(retries: int | None) -> int:
    if retries is None:
        return 0
    if not 0 <= retries <= MAX_RETRIES:
        raise DecodeError(f"retries is {bounded_repr(retries, limit=40)}, not a count")
    return retries


class TaskRequest(msgspec.Struct, kw_only=True, gc=False):
    """Hold everything that a run of a task needs to know, decoded.

    Attributes:
        eta, expires: as the sender spelled them.
        timelimit: (hard, soft) in seconds.
        headers: custom ones, which a retry hands on.
        chain: the remaining steps, the next one last.
    """

    task: str
    id: str
    args: list[Any]
    kwargs: dict[str, Any]
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[Any] | None = None
    chord: Any = None
    eta: str | None = None
    expires: str | None = None
    retries: int = 0
    timelimit: tuple[float | None, float | None] = (None, None)
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    shadow: str | None = None
    lang: str | None = None
    origin: str | None = None
    argsrepr: str = ""
    kwargsrepr: str = ""
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    reply_to: str | None = None
    correlation_id: str | None = None
    priority: int = 0


def read_request(message: Message, *, limits: Limits = DEFAULT_LIMITS) -> TaskRequest:
    """Decode a message of protocol 1 or 2, arguments and all.

    Raises:
        DecodeError: the message is malformed, wrongly typed or over a limit.
        ContentDisallowed: its content type is not accepted.
    """
    _check_message(message, limits)
    headers, custom = read_headers(message.headers, limits=limits)
    if headers.task is None:
        return _request_v1(message, _read_body_v1(message, limits), limits)
    body = loads(message.body, max_depth=limits.max_depth)
    if isinstance(body, dict) and "args" in body:
        return _request_hybrid(message, body, limits)
    if not isinstance(body, list) or len(body) != 3:
        raise DecodeError(f"body of message {message.task_id} is not an array of args, kwargs and embed")
    args, kwargs, embed = body
    return _request(message, headers, custom, args, kwargs, embed, limits)


def _read_body_v1(message: Message, limits: Limits) -> dict[str, Any]:
    body = loads(message.body, max_depth=limits.max_depth)
    if not isinstance(body, dict):
        raise DecodeError(
            f"message {message.task_id} has no task in its headers, and its body is not an object of protocol 1"
        )
    return body


def _request_v1(message: Message, body: dict[str, Any], limits: Limits) -> TaskRequest:
    headers = convert_headers(body)
    if "taskset" in body:
        headers.group = convert_headers({"group": body["taskset"]}).group
    custom = custom_headers(read_fields(message.headers, limits=limits))
    headers.lang = None
    return _request(message, headers, custom, body.get("args"), body.get("kwargs"), body, limits)


def _request_hybrid(message: Message, body: dict[str, Any], limits: Limits) -> TaskRequest:
    """Read a body of protocol 1 under headers of protocol 2, which win."""
    fields = read_fields(message.headers, limits=limits)
    headers = convert_headers(body | fields)
    return _request(message, headers, custom_headers(fields), body.get("args"), body.get("kwargs"), body, limits)


def _request(
    message: Message, headers: Headers, custom: dict[str, Any], args: Any, kwargs: Any, embed: Any, limits: Limits
) -> TaskRequest:
    task, task_id = _checked_names(headers.task, headers.id, limits)
    args = _shaped("args", args, list, [])
    kwargs = _shaped("kwargs", kwargs, dict, {})
    embed = _shaped("embed", embed, dict, {})
    properties = read_properties(message) if message.properties is not None else {}
    return TaskRequest(
        task=task,
        id=task_id,
        args=args,
        kwargs=kwargs,
        callbacks=_shaped("callbacks", embed.get("callbacks"), list, None),
        errbacks=_shaped("errbacks", embed.get("errbacks"), list, None),
        chain=_shaped("chain", embed.get("chain"), list, None),
        chord=_shaped("chord", embed.get("chord"), dict, None),
        eta=headers.eta,
        expires=headers.expires,
        retries=_checked_retries(headers.retries),
        timelimit=headers.timelimit or (None, None),
        root_id=headers.root_id,
        parent_id=headers.parent_id,
        group=headers.group,
        group_index=headers.group_index,
        shadow=headers.shadow,
        lang=headers.lang,
        origin=headers.origin,
        argsrepr=headers.argsrepr or "",
        kwargsrepr=headers.kwargsrepr or "",
        ignore_result=headers.ignore_result,
        replaced_task_nesting=headers.replaced_task_nesting or 0,
        stamped_headers=headers.stamped_headers,
        stamps=headers.stamps or {},
        headers=custom,
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id", task_id),
        priority=message.priority,
    )


def _shaped(name: str, value: Any, kind: type, default: Any) -> Any:
    if value is None:
        return default
    if not isinstance(value, kind):
        raise DecodeError(f"{name} of the message is a {type(value).__name__}, not a {kind.__name__}")
    return value
