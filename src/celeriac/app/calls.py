"""What a call says, decided: from a task, its options and the settings to a `Call`. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from celeriac.app.config import Settings
from celeriac.app.context import Context
from celeriac.app.options import CallOptions, MessageOptions, check_call_options
from celeriac.app.timing import Moment, end_of, start_of
from celeriac.brokers.routing import Router, compile_routes, route
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call
from celeriac.wire.times import parse_iso

if TYPE_CHECKING:
    from celeriac.app.task import Task

_QUEUES_KEPT: Final = 4096

_AsItIs = Literal["headers", "ignore_result", "priority", "queue", "shadow"]
_TAKEN_AS_IT_IS: Final[tuple[_AsItIs, ...]] = ("headers", "ignore_result", "priority", "queue", "shadow")

_CARRIED_BY_RETRY: Final = (
    "callbacks",
    "chain",
    "chord",
    "errbacks",
    "group",
    "group_index",
    "headers",
    "ignore_result",
    "replaced_task_nesting",
    "reply_to",
    "shadow",
    "stamped_headers",
    "stamps",
)


class SendingRules(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the settings of one moment say about sending.

    Attributes:
        version: of the settings; other settings make other rules.
        queues: routes found so far, by name of the task.
    """

    version: int
    zone: tzinfo
    limits: Limits
    routers: tuple[Router, ...]
    default_queue: str
    default_priority: int | None
    publish_timeout: float
    queues: dict[str, str]

    @classmethod
    def of(cls, conf: Settings) -> SendingRules:
        """Read the rules from the settings as they are now."""
        return cls(
            version=conf.version,
            zone=conf.zone,
            limits=conf.limits,
            routers=compile_routes(conf.task_routes),
            default_queue=conf.task_default_queue,
            default_priority=conf.task_default_priority,
            publish_timeout=conf.task_publish_timeout,
            queues={},
        )

    def queue_of(self, task_name: str) -> str:
        """Return the queue for a task that names none."""
        queue = self.queues.get(task_name)
        if queue is None:
            if len(self.queues) >= _QUEUES_KEPT:
                self.queues.clear()
            queue = self.queues[task_name] = route(task_name, self.routers, self.default_queue)
        return queue


def call_of(
    name: str,
    task: Task[..., Any] | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: CallOptions,
    *,
    task_id: str,
    parent: Context | None,
    rules: SendingRules,
    now: float,
) -> Call:
    """Return the call of a task: what options do not say, the task says, and then the settings.

    Args:
        task: None when it is not registered here; whether its result is kept is then left to where it runs.
        parent: the run that makes the call, or None.

    Raises:
        TypeError, ValueError: an option does not exist, or is not what it may be.
    """
    fields = _fields_of_call(name, options, rules.zone, now) if options else {}
    priority = rules.default_priority if task is None else task.priority
    if priority is not None:
        fields.setdefault("priority", priority)
    fields.setdefault("ignore_result", None if task is None else task.ignore_result)
    if task is not None and task.expires is not None and "expires_at" not in fields:
        fields |= _expiry(end_of(task.expires, now=now, zone=rules.zone), now)
    if "queue" not in fields:
        fields["queue"] = rules.queue_of(name)
    if parent is not None:
        fields["parent_id"] = parent.id
        fields["root_id"] = parent.root_id or parent.id
    return Call(task=name, id=task_id, args=args, kwargs=kwargs, **fields)


def retry_of(
    context: Context,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    start: Moment | None,
    options: MessageOptions,
    *,
    rules: SendingRules,
    now: float,
) -> Call:
    """Return the next attempt at a run: the same id, one retry more, this attempt as its parent.

    What the message of this attempt said is said again, except where `options` says otherwise.
    """
    if context.id is None or context.task is None:
        raise RuntimeError("this run came of no message, so there is nothing to retry")
    hard, soft = context.timelimit or (None, None)
    end = Moment(parse_iso(context.expires, zone=rules.zone), context.expires) if context.expires else None
    fields = {
        **{name: getattr(context, name) for name in _CARRIED_BY_RETRY},
        "queue": context.delivery_info.get("routing_key") or rules.queue_of(context.task),
        "priority": context.delivery_info.get("priority"),
        **_start(start),
        **_expiry(end, now),
        **_fields_of_message(options, rules.zone, now),
    }
    return Call(
        task=context.task,
        id=context.id,
        args=args,
        kwargs=kwargs,
        retries=context.retries + 1,
        root_id=context.root_id or context.id,
        parent_id=context.id,
        time_limit=hard,
        soft_time_limit=soft,
        **fields,
    )


def _fields_of_call(name: str, options: CallOptions, zone: tzinfo, now: float) -> dict[str, Any]:
    check_call_options(f"a call of task {name!r}", options)
    start = start_of(options.get("countdown"), options.get("eta"), now=now, zone=zone)
    return _start(start) | _fields_of_message(options, zone, now)


def _fields_of_message(options: MessageOptions, zone: tzinfo, now: float) -> dict[str, Any]:
    fields: dict[str, Any] = {name: options[name] for name in _TAKEN_AS_IT_IS if options.get(name) is not None}
    return fields | _expiry(end_of(options.get("expires"), now=now, zone=zone), now)


def _start(start: Moment | None) -> dict[str, Any]:
    return {} if start is None else {"eta_at": start.at, "eta_text": start.text}


def _expiry(end: Moment | None, now: float) -> dict[str, Any]:
    if end is None:
        return {}
    return {"expires_at": end.at, "expires_text": end.text, "expiration_ms": max(0, int((end.at - now) * 1000))}
