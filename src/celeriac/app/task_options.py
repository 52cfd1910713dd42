"""What can be said of a task when it is made: the names, and what each may be.

A name that is not here is an error, unless the task's own base class has an attribute of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import getattr_static
from typing import Any, Final, Literal, TypedDict

from celeriac.app.config.content import COMPRESSION, SERIALIZER
from celeriac.app.kinds import (
    ANY_TEXT,
    CALL_KEY,
    DELIVERY_MODE,
    FLAG,
    ON_CONFLICT,
    RATE,
    SECONDS,
    TEXT,
    Kind,
    one_of,
    or_none,
    read,
    whole,
)
from celeriac.app.missing import refuse_internals
from celeriac.app.options import EXCHANGE, EXCHANGE_TYPE, QUEUE
from celeriac.app.standing import is_own
from celeriac.app.timing import end_of
from celeriac.brokers.topology import Exchange, Queue


class TaskOptions(TypedDict, total=False):
    """Say how a task differs from the others of its app. None is the same as nothing said, but for `max_retries`.

    Attributes:
        name: what messages call it; None is made of its module and function.
        max_retries: retries before `retry` gives up; None is no limit.
        default_retry_delay: seconds before a retry that names no time.
        autoretry_for: exceptions after which the task is retried by itself.
        dont_autoretry_for: those among them after which it is not.
        retry_kwargs: what such a retry is given, such as ``{"max_retries": 5, "countdown": 2}``.
        retry_backoff: True or a factor in seconds: wait 1, 2, 4 … times that before the next automatic retry.
        retry_backoff_max: longest such wait, seconds.
        retry_jitter: wait a random share of it instead, so that many do not come back at once.
        throws: exceptions that are expected; they fail the run and are logged as one line.
        acks_late: acknowledge after the run (`task_acks_late`).
        acks_on_failure_or_timeout: acknowledge also a run that failed; else it is a dead letter.
        acks_on_failure: likewise, for failures only.
        acks_on_timeout: likewise, for time limits only.
        reject_on_worker_lost: False fails a run whose process died, instead of running it again.
        retry_on_worker_lost: count a run whose process died as a retry, with its delay and limit.
        ignore_result: keep no results (`task_ignore_result`).
        store_errors_even_if_ignored: keep failures nevertheless (`task_store_errors_even_if_ignored`).
        track_started: store STARTED (`task_track_started`).
        send_events: tell monitors of its runs.
        trail: note in the record of a run which calls it made.
        priority: of its messages, 0 to 255 (`task_default_priority`).
        expires: seconds or instant after which a run does not start any more.
        queue: the queue that its calls go to, or its name, whatever `task_routes` says of the task.
        exchange: the exchange that they go to, or its name, which leads on to queues.
        exchange_type: "direct", "topic", "fanout" or "headers", where `task_queues` does not tell.
        routing_key: what it leads on by.
        mandatory: whether a call that reaches no queue is an error.
        delivery_mode: 2 or "persistent", 1 or "transient" (`task_default_delivery_mode`).
        serializer: how its arguments travel (`task_serializer`).
        compression: how its messages are compressed (`task_compression`).
        typing: check arguments when the task is called.
        sensitive: names of arguments that logs, events and results show as ``'<hidden>'``; True: all of them.
        resultrepr_maxsize: most characters of a result in a log line.
        time_limit: seconds after which a run is killed.
        soft_time_limit: seconds after which `SoftTimeLimitExceeded` is raised in it.
        rate_limit: most runs per time, such as ``10/m``.
        rate_limit_scope: whose starts are counted: those of each ``node``, or ``global``, all nodes of the broker.
        concurrency_limit: most runs at a time, over all nodes of the broker.
        concurrency_key: what runs share that limit: a template such as ``"{shop}"``, or a function of the arguments;
            None: all runs of the task.
        unique_for: seconds for which a second call, the same as one that waits or runs, is not published.
        unique_key: what makes two calls the same: a template such as ``"order-{order_id}"``, or a function of the
            arguments; None: all arguments.
        on_conflict: what becomes of the second call: ``skip`` returns the result of the first, ``raise`` raises
            `UniqueConflict`, ``replace`` puts it in the place of the first.
        pydantic: check and convert arguments by their annotations with pydantic, in the worker.
        pydantic_strict: with pydantic's strict mode; None leaves it to the models.
        pydantic_context: what validators get as their context.
        pydantic_dump_kwargs: what `model_dump` of a returned model gets.
        strict_round_trip: refuse arguments that arrive as something else than what was sent.
    """

    name: str | None
    max_retries: int | None
    default_retry_delay: float
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | int | float
    retry_backoff_max: float
    retry_jitter: bool
    throws: tuple[type[BaseException], ...]
    acks_late: bool | None
    acks_on_failure_or_timeout: bool | None
    acks_on_failure: bool | None
    acks_on_timeout: bool | None
    reject_on_worker_lost: bool | None
    retry_on_worker_lost: bool | None
    ignore_result: bool | None
    store_errors_even_if_ignored: bool | None
    track_started: bool | None
    send_events: bool
    trail: bool
    priority: int | None
    expires: float | datetime | str | None
    queue: Queue | str | None
    exchange: Exchange | str | None
    exchange_type: str | None
    routing_key: str | None
    mandatory: bool | None
    delivery_mode: int | str | None
    serializer: str | None
    compression: str | None
    typing: bool | None
    sensitive: tuple[str, ...] | bool
    resultrepr_maxsize: int
    time_limit: float | None
    soft_time_limit: float | None
    rate_limit: str | int | float | None
    rate_limit_scope: Literal["node", "global"] | None
    concurrency_limit: int | None
    concurrency_key: str | Callable[..., str | int] | None
    unique_for: float | None
    unique_key: str | Callable[..., str | int] | None
    on_conflict: Literal["skip", "replace", "raise"] | None
    pydantic: bool
    pydantic_strict: bool | None
    pydantic_context: Mapping[str, Any] | None
    pydantic_dump_kwargs: Mapping[str, Any] | None
    strict_round_trip: bool | None


def _exceptions(value: Any) -> tuple[type[BaseException], ...]:
    if isinstance(value, type):
        value = (value,)
    if not isinstance(value, (tuple, list)):
        raise ValueError
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in value):
        raise ValueError
    return tuple(value)


def _names(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) or not isinstance(value, (tuple, list, set, frozenset)):
        raise ValueError
    if not all(isinstance(name, str) for name in value):
        raise ValueError
    return tuple(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError
    return value


def _delay(value: Any) -> Any:
    seconds = SECONDS.accept(value)
    return value if isinstance(value, int) else seconds  # log lines show a whole number as one


def _backoff(value: Any) -> Any:
    return value if isinstance(value, bool) else _delay(value)


def _call_key(value: Any) -> Any:
    """Keep a function from being taken for a method of the task, which would get the task as its first argument."""
    key = CALL_KEY.accept(value)
    return key if isinstance(key, str) else staticmethod(key)


# Times are not here: `timing.py` reads them where they are used, and says what is wrong with them.
_ANY: Final = Kind("anything", lambda value: value)
_FLAG: Final = or_none(FLAG)
_EXCEPTIONS: Final = Kind("an exception class, or a tuple of such", _exceptions)
_MAPPING: Final = Kind("a dict of names and values", _mapping)
_LIMIT: Final = or_none(SECONDS)

_KINDS: Final[Mapping[str, Kind]] = {
    "acks_late": _FLAG,
    "acks_on_failure": _FLAG,
    "acks_on_failure_or_timeout": _FLAG,
    "acks_on_timeout": _FLAG,
    "autoretry_for": _EXCEPTIONS,
    "compression": or_none(COMPRESSION),
    "concurrency_key": or_none(Kind(CALL_KEY.words, _call_key)),
    "concurrency_limit": or_none(whole(at_least=1)),
    "default_retry_delay": Kind(SECONDS.words, _delay),
    "delivery_mode": or_none(DELIVERY_MODE),
    "dont_autoretry_for": _EXCEPTIONS,
    "exchange": or_none(EXCHANGE),
    "exchange_type": or_none(EXCHANGE_TYPE),
    "expires": _ANY,
    "ignore_result": _FLAG,
    "mandatory": _FLAG,
    "max_retries": or_none(whole(at_least=0)),
    "name": or_none(TEXT),
    "on_conflict": or_none(ON_CONFLICT),
    "priority": or_none(whole(at_least=0, at_most=255)),
    "pydantic": FLAG,
    "pydantic_context": or_none(_MAPPING),
    "pydantic_dump_kwargs": or_none(_MAPPING),
    "pydantic_strict": _FLAG,
    "queue": or_none(QUEUE),
    "rate_limit": or_none(RATE),
    "rate_limit_scope": or_none(one_of("node", "global")),
    "reject_on_worker_lost": _FLAG,
    "retry_on_worker_lost": _FLAG,
    "resultrepr_maxsize": whole(at_least=16),
    "retry_backoff": Kind("True, False or a number of seconds >= 0", _backoff),
    "retry_backoff_max": SECONDS,
    "retry_jitter": FLAG,
    "retry_kwargs": _MAPPING,
    "routing_key": or_none(ANY_TEXT),
    "send_events": FLAG,
    "sensitive": Kind("a tuple of names of arguments, or True for all", _names),
    "serializer": or_none(SERIALIZER),
    "soft_time_limit": _LIMIT,
    "store_errors_even_if_ignored": _FLAG,
    "strict_round_trip": _FLAG,
    "throws": _EXCEPTIONS,
    "time_limit": _LIMIT,
    "track_started": _FLAG,
    "trail": FLAG,
    "typing": _FLAG,
    "unique_for": or_none(SECONDS),
    "unique_key": or_none(Kind(CALL_KEY.words, _call_key)),
}


def read_task_options(what: str, options: Mapping[str, Any], base: type) -> dict[str, Any]:
    """Return the options of a task as they are to be kept, those left out that say nothing.

    Args:
        what: the task, for errors.
        options: as given.
        base: the class that the task is made from; its own attributes may be given as options too. Where celeriac
            stands for Celery, so may others that are like no option, for the class to find.

    Raises:
        TypeError: there is no such option.
        ValueError: its value is wrong.
    """
    kept = {}
    refuse_internals(what, options)
    for name, value in options.items():
        kind = _KINDS.get(name)
        if kind is None:
            if not _is_attribute(base, name) and (hasattr(base, name) or not is_own(name, _KINDS)):
                known = ", ".join(_KINDS)
                raise TypeError(f"{what} has no option {name!r}; there are {known}, and what its base class has")
            kept[name] = value
            continue
        value = read(kind, f"{name} of {what}", value, error=ValueError)
        if value is not None or name == "max_retries":
            kept[name] = value
    end_of(kept.get("expires"), now=0.0, zone=UTC)
    return kept


def _is_attribute(base: type, name: str) -> bool:
    return not name.startswith("_") and hasattr(base, name) and not isinstance(getattr_static(base, name), property)


def read_task_class(what: str, task: type) -> None:
    """Check and normalise the options that a class says as its attributes, in place.

    Raises:
        ValueError: one of them is wrong.
    """
    for name, kind in _KINDS.items():
        for owner in task.__mro__:
            if name in vars(owner) and owner.__module__ != "celeriac.app.task":
                value = vars(owner)[name]
                if value is not None and not hasattr(value, "__get__"):
                    setattr(owner, name, read(kind, f"{name} of {what}", value, error=ValueError))
                break


def ack_late(task: Any) -> None:
    """Let a task with a concurrency limit be acked after its run: the claim of its message is its place in the limit.

    Raises:
        ValueError: the task itself says otherwise.
    """
    said = getattr_static(task, "acks_late")
    if said is False:
        raise ValueError(
            f"task {task.name!r} has a concurrency_limit and acks_late=False: what is acked before its run holds no "
            "place in the limit; leave acks_late out"
        )
    vars(task)["acks_late"] = True
