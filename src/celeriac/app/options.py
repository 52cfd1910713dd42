"""What can be said of a call when it is sent: the names, and what each may be.

A name that is not here is an error wherever it is given; no option is silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypedDict

from celeriac.app.kinds import (
    ANY_TEXT,
    ANYTHING,
    CALL_KEY,
    DELIVERY_MODE,
    FLAG,
    MAPPING,
    ON_CONFLICT,
    SECONDS,
    TEXT,
    Kind,
    one_of,
    read,
    whole,
)
from celeriac.app.standing import is_own
from celeriac.brokers.topology import (
    KINDS,
    Exchange,
    Queue,
    exchange_of,
    looks_like_exchange,
    looks_like_queue,
    queue_of,
)
from celeriac.canvas.signature import Signature
from celeriac.wire.steps import Steps


class MessageOptions(TypedDict, total=False):
    """Say how one message differs from the others of its task. None is the same as nothing said.

    Attributes:
        expires: seconds or instant after which the run does not start any more.
        queue: the queue, or its name, past `task_routes`.
        priority: 0 to 255.
        headers: custom headers, to be found in `task.request.headers`.
        ignore_result: keep no result of this run.
        serializer: name of what writes the arguments.
        compression: name of what compresses them.
        shadow: name for logs and events.
        argsrepr: what people get to see of the positional arguments, instead of a repr of them.
        kwargsrepr: likewise of the keyword arguments.
        link: signatures that are sent with the result when the run succeeds.
        link_error: signatures that are called when it fails.
        chain: signatures of the steps that follow, the last one first.
        chord: the body that waits for the run, among others.
        time_limit: seconds after which the run is killed.
        soft_time_limit: seconds after which `SoftTimeLimitExceeded` is raised in the body.
        root_id: first task of the workflow; otherwise that of the run that makes the call.
        parent_id: the task that led to this one; otherwise the run that makes the call.
        group_id: the group that the run is a member of.
        group_index: its place there.
        replaced_task_nesting: how many tasks this one stands in for.
        stamped_headers: names of further options, which are stamps and may be any.
        reply_to: queue for answers.
        correlation_id: what answers name; otherwise the id of the task.
        delivery_mode: 2 or "persistent", 1 or "transient"; SQLite always persists.
        expiration: seconds for which brokers with such a property keep the message.
        app_id, user_id, message_id, type, timestamp: message properties, carried as they are.
        exchange: the exchange, or its name, which leads on to queues.
        exchange_type: "direct", "topic", "fanout" or "headers", where `task_queues` does not tell.
        routing_key: what it leads on by.
        mandatory: whether a message that reaches no queue is an error. It is, unless its exchange is for everybody.
        declare: queues that are to be there before the message is sent.
    """

    expires: float | datetime | str | None
    queue: Queue | str | None
    priority: int | None
    headers: Mapping[str, Any] | None
    ignore_result: bool | None
    serializer: str | None
    compression: str | None
    shadow: str | None
    argsrepr: str | None
    kwargsrepr: str | None
    link: Signature[Any] | Mapping[str, Any] | Sequence[Signature[Any] | Mapping[str, Any]] | None
    link_error: Signature[Any] | Mapping[str, Any] | Sequence[Signature[Any] | Mapping[str, Any]] | None
    chain: Sequence[Signature[Any] | Mapping[str, Any]] | None
    chord: Signature[Any] | Mapping[str, Any] | None
    time_limit: float | None
    soft_time_limit: float | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None
    replaced_task_nesting: int | None
    stamped_headers: Sequence[str] | None
    reply_to: str | None
    correlation_id: str | None
    delivery_mode: int | str | None
    expiration: float | None
    app_id: str | None
    user_id: str | None
    message_id: str | None
    type: str | None
    timestamp: float | None
    exchange: Exchange | str | None
    exchange_type: str | None
    routing_key: str | None
    mandatory: bool | None
    declare: Sequence[Queue] | None


class CallOptions(MessageOptions, total=False):
    """Say how one call differs from the others of its task. None is the same as nothing said.

    Attributes:
        countdown: seconds before which the run does not start; zero or less is now.
        eta: instant before which it does not start; without a zone, in the app's.
        timeout: seconds in which the broker must confirm, instead of `task_publish_timeout`.
        confirm_timeout: the same, where no `timeout` is given.
        retry: publish again within that time when the broker cannot be reached (`task_publish_retry`).
        retry_policy: how often and after how long (`task_publish_retry_policy`).
        add_to_parent: list this call among the children of the run that makes it.
        result_cls: what makes the result that is returned, of the id.
        retries: the attempt that this is, from 0.
        route_name: look `task_routes` up for this name instead of the task's.
        task_type: a task whose options are to count instead of those of the one that is registered.
        origin: what sends the call, instead of this process.
        concurrency_key: what runs share the task's concurrency limit: a template, or a function of the arguments.
        unique_for: seconds for which no other call is published that is the same; 0: any are.
        unique_key: what makes calls the same: a template, or a function of the arguments.
        on_conflict: what becomes of this call when there is such a one: skip, replace or raise.
    """

    countdown: float | None
    eta: datetime | str | None
    timeout: float | None
    confirm_timeout: float | None
    retry: bool | None
    retry_policy: Mapping[str, Any] | None
    add_to_parent: bool | None
    result_cls: Callable[[str], Any] | None
    retries: int | None
    route_name: str | None
    task_type: Any
    origin: str | None
    concurrency_key: str | Callable[..., str | int] | None
    unique_for: float | None
    unique_key: str | Callable[..., str | int] | None
    on_conflict: Literal["skip", "replace", "raise"] | None


class ReadOptions(NamedTuple):
    """Hold options that were checked. Options that say nothing are left out.

    Attributes:
        fields: those that a `Call` has as they are, under its names for them.
        others: those that something must be made of first, or that are not about the message.
        said: all of them, as they were given.
    """

    fields: Mapping[str, Any]
    others: Mapping[str, Any]
    said: Mapping[str, Any]


NOTHING_SAID: Final = ReadOptions({}, {}, {})
NO_OPTIONS: Final = CallOptions()


class _Option(NamedTuple):
    """Know one option.

    Attributes:
        accept: returns what to keep, or raises `ValueError`. None never gets here.
        field: what a `Call` calls it; None when it is none of its fields.
        words: completes the sentence "<option> must be ...".
    """

    accept: Callable[[Any], Any]
    field: str | None
    words: str


def _names(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        raise ValueError
    if not all(isinstance(name, str) for name in value):
        raise ValueError
    return list(value)


def _seconds(value: Any) -> Any:
    """Keep a whole number whole: it is written into the message as it was said."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError
    return value


def _signatures(value: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, Steps):  # of a message, and looked at when that came
        return value
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    for each in found:
        if not isinstance(each, Mapping) or not isinstance(each.get("task"), str):
            raise ValueError
    return found


def _signature(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("task"), str):
        raise ValueError
    return value


def _queue(value: Any) -> Any:
    return TEXT.accept(value) if isinstance(value, str) or not looks_like_queue(value) else queue_of(value)


def _queues(value: Any) -> list[Queue]:
    if not isinstance(value, (list, tuple)) or not all(map(looks_like_queue, value)):
        raise ValueError
    return [queue_of(one) for one in value]


def _exchange(value: Any) -> Any:
    return ANY_TEXT.accept(value) if isinstance(value, str) or not looks_like_exchange(value) else exchange_of(value)


QUEUE: Final = Kind("a queue, or the name of one", _queue)
EXCHANGE: Final = Kind("an exchange, or the name of one", _exchange)
EXCHANGE_TYPE: Final = one_of(*KINDS)


def _callable(value: Any) -> Any:
    if not callable(value):
        raise ValueError
    return value


# Times are not checked here: `timing.py` reads them where they are used, and says what is wrong with them.
_TIME: Final = Kind("a time", ANYTHING.accept)
_FREE_SECONDS: Final = Kind("a number of seconds >= 0", _seconds)
_SIGNATURES: Final = Kind("a signature or a list of them, such as add.s(2)", _signatures)
_SIGNATURE: Final = Kind("a signature, such as add.s(2)", _signature)
_COUNT: Final = whole(at_least=0)


def _field(kind: Kind, field: str) -> _Option:
    return _Option(kind.accept, field, kind.words)


def _other(kind: Kind) -> _Option:
    return _Option(kind.accept, None, kind.words)


_OF_MESSAGE: Final[dict[str, _Option]] = {
    "expires": _other(_TIME),
    "queue": _other(QUEUE),
    "priority": _field(whole(at_least=0, at_most=255), "priority"),
    "headers": _field(MAPPING, "headers"),
    "ignore_result": _field(FLAG, "ignore_result"),
    "serializer": _field(TEXT, "serializer"),
    "compression": _field(TEXT, "compression"),
    "shadow": _field(TEXT, "shadow"),
    "argsrepr": _field(ANY_TEXT, "argsrepr"),
    "kwargsrepr": _field(ANY_TEXT, "kwargsrepr"),
    "link": _field(_SIGNATURES, "callbacks"),
    "link_error": _field(_SIGNATURES, "errbacks"),
    "chain": _field(_SIGNATURES, "chain"),
    "chord": _field(_SIGNATURE, "chord"),
    "time_limit": _field(_FREE_SECONDS, "time_limit"),
    "soft_time_limit": _field(_FREE_SECONDS, "soft_time_limit"),
    "root_id": _field(TEXT, "root_id"),
    "parent_id": _field(TEXT, "parent_id"),
    "group_id": _field(TEXT, "group"),
    "group_index": _field(_COUNT, "group_index"),
    "replaced_task_nesting": _field(_COUNT, "replaced_task_nesting"),
    "stamped_headers": _other(Kind("a list of names of options", _names)),
    "reply_to": _field(ANY_TEXT, "reply_to"),
    "correlation_id": _other(ANY_TEXT),
    "delivery_mode": _field(DELIVERY_MODE, "delivery_mode"),
    "expiration": _other(_FREE_SECONDS),
    "app_id": _other(ANY_TEXT),
    "user_id": _other(ANY_TEXT),
    "message_id": _other(ANY_TEXT),
    "type": _other(ANY_TEXT),
    "timestamp": _other(_FREE_SECONDS),
    "exchange": _other(EXCHANGE),
    "exchange_type": _other(EXCHANGE_TYPE),
    "routing_key": _other(ANY_TEXT),
    "mandatory": _other(FLAG),
    "declare": _other(Kind("a list of queues", _queues)),
}
_OF_CALL: Final[dict[str, _Option]] = _OF_MESSAGE | {
    "countdown": _other(_TIME),
    "eta": _other(_TIME),
    "timeout": _other(SECONDS),
    "confirm_timeout": _other(SECONDS),
    "retry": _other(FLAG),
    "retry_policy": _other(MAPPING),
    "add_to_parent": _other(FLAG),
    "result_cls": _other(Kind("a class of results", _callable)),
    "retries": _field(_COUNT, "retries"),
    "route_name": _other(TEXT),
    "task_type": _other(Kind("a task", ANYTHING.accept)),
    "origin": _other(TEXT),
    "concurrency_key": _other(CALL_KEY),
    "unique_for": _other(SECONDS),
    "unique_key": _other(CALL_KEY),
    "on_conflict": _other(ON_CONFLICT),
}

PROPERTIES: Final = ("app_id", "user_id", "message_id", "type", "timestamp", "correlation_id")
"""Options that are message properties of the same name."""

_NO_KOMBU: Final = "celeriac has connections of its own, to which `broker_url` leads"
_NO_SQS: Final = "SQS comes with a later version"

_MISSING: Final[Mapping[str, str]] = {
    "producer": _NO_KOMBU,
    "publisher": _NO_KOMBU,
    "connection": _NO_KOMBU,
    "event_dispatcher": "events are sent by the app itself: set task_send_sent_event",
    "router": "say where calls go in `task_routes`, or name the queue with queue=...",
    "immediate": "no broker has it any more",
    "MessageGroupId": _NO_SQS,
    "MessageDeduplicationId": _NO_SQS,
    "MessageAttributes": _NO_SQS,
    "DelaySeconds": _NO_SQS,
}
"""Options of Celery that this version does not have, and why; what asks for nothing, such as None, is accepted."""


def read_message_options(task_name: str, options: Mapping[str, Any]) -> ReadOptions:
    """Check the options of a retry; of which task, for errors.

    Where celeriac stands for Celery, options that are like none there are go the way of Celery: they become properties
    of the message. Classes of tasks take them (`apply_async(once=…)`), and hand them on.

    Raises:
        TypeError: there is no such option.
        ValueError: its value is wrong.
        NotImplementedError: Celery has it, and this version does not.
    """
    return _read("a retry", task_name, options, _OF_MESSAGE, lenient=False)


def read_call_options(
    task_name: str, options: Mapping[str, Any], *, lenient: bool = False, what: str = "a call"
) -> ReadOptions:
    """Check likewise the options of a call.

    Args:
        lenient: take options that do not exist for message properties, as Celery does. For what arrived in a message:
            its sender is not here to be told.
        what: says them, for errors.
    """
    return _read(what, task_name, options, _OF_CALL, lenient=lenient)


def _read(
    what: str, task_name: str, options: Mapping[str, Any], known: Mapping[str, _Option], *, lenient: bool
) -> ReadOptions:
    # One pass without a function of our own per option: 0.1 µs for each, where going by `Kind` took 0.5.
    fields: dict[str, Any] = {}
    others: dict[str, Any] = {}
    left = options
    if options.get("stamped_headers") is not None:
        left = _take_stamps(f"{what} of task {task_name!r}", options, fields, lenient=lenient)
    for name, value in left.items():
        if value is None:
            continue
        try:
            accept, field, _ = known[name]
            if field is None:
                others[name] = accept(value)
            else:
                fields[field] = accept(value)
        except KeyError:
            _take_unknown(f"{what} of task {task_name!r}", name, value, known, others, lenient=lenient)
        except ValueError:
            _refuse(f"{what} of task {task_name!r}", name, value, known[name])
    return ReadOptions(fields, others, options)


def _refuse(what: str, name: str, value: Any, option: _Option) -> NoReturn:
    read(Kind(f"{option.words}, or None", option.accept), f"{name} of {what}", value, error=ValueError)
    raise AssertionError(f"{name} was refused and then accepted")


def _take_unknown(
    what: str, name: str, value: Any, known: Mapping[str, _Option], others: dict[str, Any], *, lenient: bool
) -> None:
    why = _MISSING.get(name)
    if why is not None:
        if value in (False, "", (), [], {}):
            return
        raise NotImplementedError(f"option {name!r} of {what} is not in this version of celeriac: {why}")
    if not lenient and not is_own(name, known):
        near = get_close_matches(name, known, n=1)
        raise TypeError(
            f"{what} has no option {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}")
        )
    others.setdefault("properties", {})[name] = value


def _take_stamps(what: str, options: Mapping[str, Any], fields: dict[str, Any], *, lenient: bool) -> dict[str, Any]:
    """Put the stamps among the fields, and return the options that are left."""
    left = dict(options)
    given = left.pop("stamped_headers")
    try:
        names = _names(given)
    except ValueError:
        _refuse(what, "stamped_headers", given, _OF_MESSAGE["stamped_headers"])
    missing = [name for name in names if name not in left]
    if missing and not lenient:
        raise ValueError(f"stamped_headers of {what} names {missing[0]!r}, which is not among its options")
    fields["stamped_headers"] = names
    fields["stamps"] = {name: left.pop(name) for name in names if name in left}
    return left
