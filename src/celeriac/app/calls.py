"""What a call says, decided: from a task, its options and the settings to a `Call`. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

import msgspec

from celeriac.app.call_keys import CallKey, signature_of
from celeriac.app.config import Settings
from celeriac.app.context import Context
from celeriac.app.hiding import Hiding, hiding_of
from celeriac.app.options import PROPERTIES, ReadOptions
from celeriac.app.publishing import RetryPolicy, read_policy
from celeriac.app.pydantic_tasks import Models
from celeriac.app.task import Task
from celeriac.app.timing import Moment, end_of, start_of
from celeriac.app.uniqueness import Uniqueness, uniqueness_of, uniqueness_of_call
from celeriac.brokers.routing import Router, compile_routes, route
from celeriac.wire.limits import Limits
from celeriac.wire.properties import PERSISTENT
from celeriac.wire.protocol import Call
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.times import iso_text, parse_iso
from celeriac.wire.unique import OUR_HEADERS, ROOM_HEADER, without_unique

_NAMES_KEPT: Final = 4096
_REPR_LEVELS: Final = 3
_UNLIMITED: Final = 1_000
_A_CENTURY: Final = 36_525 * 86_400.0

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


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the calls of one task say when their options do not.

    Attributes:
        rules: what they were made of; others make others.
        fields: of the `Call`, always with a queue.
        expires: as the task says it, or None.
        hiding: which arguments are not shown, or None.
        shadow_name: makes a name for logs, or None for the task's own.
        models: the models among its parameters, of which data are to be made, or None.
        unique: which of its calls are the same, or None.
        room: what tells apart which of its runs share its concurrency limit, or None.
        shows_otherwise: arguments do not show as in any call.
        is_simple: `fields` are all that a call says whose options say nothing.
    """

    rules: SendingRules
    fields: dict[str, Any]
    expires: Any = None
    hiding: Hiding | None = None
    shadow_name: Callable[..., str | None] | None = None
    models: Models | None = None
    unique: Uniqueness | None = None
    room: CallKey | None = None

    shows_otherwise: bool
    is_simple: bool

    @classmethod
    def of(
        cls,
        rules: SendingRules,
        fields: dict[str, Any],
        *,
        expires: Any = None,
        hiding: Hiding | None = None,
        shadow_name: Callable[..., str | None] | None = None,
        models: Models | None = None,
        unique: Uniqueness | None = None,
        room: CallKey | None = None,
    ) -> Defaults:
        """Make them, and see what they come to."""
        shows_otherwise = hiding is not None or rules.repr_levels != _REPR_LEVELS
        return cls(
            rules=rules,
            fields=fields,
            expires=float(expires) if type(expires) is int else expires,
            hiding=hiding,
            shadow_name=shadow_name,
            models=models,
            unique=unique,
            room=room,
            shows_otherwise=shows_otherwise,
            is_simple=not shows_otherwise
            and all(each is None for each in (expires, shadow_name, models, unique, room)),
        )


class SendingRules(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the settings of one moment say about sending.

    Attributes:
        version: of the settings; other settings make other rules.
        publish_policy: None: publish once.
        repr_levels: nesting that the reprs of arguments show.
        tells_sent: an event is sent of every message.
        names: what is known of tasks that are not registered here, by name.
    """

    version: int
    zone: tzinfo
    limits: Limits
    routers: tuple[Router, ...]
    default_queue: str
    default_priority: int | None
    inherit_priority: bool
    serializer: str
    compression: str | None
    strict_round_trip: bool
    delivery_mode: int
    protocol: int
    publish_timeout: float
    publish_policy: RetryPolicy | None
    retry_policy: RetryPolicy
    repr_levels: int
    tells_sent: bool
    names: dict[str, Defaults]

    @classmethod
    def of(cls, conf: Settings) -> SendingRules:
        """Read the rules from the settings as they are now."""
        policy = read_policy(conf.task_publish_retry_policy)
        return cls(
            version=conf.version,
            zone=conf.zone,
            limits=conf.limits,
            routers=compile_routes(conf.task_routes),
            default_queue=conf.task_default_queue,
            default_priority=conf.task_default_priority,
            inherit_priority=conf.task_inherit_parent_priority,
            serializer=conf.task_serializer,
            compression=conf.task_compression,
            strict_round_trip=conf.task_strict_round_trip,
            delivery_mode=conf.task_default_delivery_mode,
            protocol=conf.task_protocol,
            publish_timeout=conf.task_publish_timeout,
            publish_policy=policy if conf.task_publish_retry else None,
            retry_policy=policy,
            repr_levels=conf.task_repr_maxlevels or _UNLIMITED,
            tells_sent=conf.task_send_sent_event,
            names={},
        )

    def queue_of(self, task_name: str) -> str:
        """Return the queue for a task that names none."""
        return route(task_name, self.routers, self.default_queue)

    def of_name(self, name: str) -> Defaults:
        """Return what calls say of a task that is not registered here.

        Whether its result is kept, and how long it may run, is left to where it runs.
        """
        defaults = self.names.get(name)
        if defaults is None:
            if len(self.names) >= _NAMES_KEPT:
                self.names.clear()
            fields: dict[str, Any] = {"ignore_result": None, "queue": self.queue_of(name)}
            if self.default_priority is not None:
                fields["priority"] = self.default_priority
            fields |= self._form(None)
            defaults = self.names[name] = Defaults.of(self, fields)
        return defaults

    def of_task(self, task: Task[..., Any]) -> Defaults:
        """Return what calls of a task say.

        Raises:
            ValueError: the task's options contradict each other.
        """
        fields: dict[str, Any] = {
            "ignore_result": task.ignore_result,
            "queue": getattr(task, "queue", None) or self.queue_of(task.name),
            **{
                name: value
                for name in ("priority", "time_limit", "soft_time_limit")
                if (value := getattr(task, name, None)) is not None
            },
            **self._form(task),
        }
        check_limits(f"task {task.name!r}", fields)
        return Defaults.of(
            self,
            fields,
            expires=task.expires,
            hiding=hiding_of(task),
            shadow_name=_own_hook(task, "shadow_name"),
            models=task.models,
            unique=uniqueness_of(task),
            room=room_key_of(task),
        )

    def _form(self, task: Task[..., Any] | None) -> dict[str, Any]:
        """Return the fields that say how the message is written, without those that are what a `Call` has anyway."""
        strict = None if task is None else task.strict_round_trip
        form = {
            "serializer": getattr(task, "serializer", None) or self.serializer,
            "compression": getattr(task, "compression", None) or self.compression,
            "strict_round_trip": self.strict_round_trip if strict is None else strict,
            "delivery_mode": getattr(task, "delivery_mode", None) or self.delivery_mode,
        }
        return {name: value for name, value in form.items() if value != _FORM_OF_A_CALL[name]}


_FORM_OF_A_CALL: Final = {
    "serializer": "json",
    "compression": None,
    "strict_round_trip": False,
    "delivery_mode": PERSISTENT,
}


def call_of(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: ReadOptions,
    defaults: Defaults,
    *,
    task: Task[..., Any] | None = None,
    task_id: str,
    parent: Context | None,
    now: float,
) -> Call:
    """Return the call of a task: what options do not say, the task says, and then the settings.

    Args:
        task: None when it is not registered here.
        parent: the run that makes the call, or None.

    Raises:
        TypeError, ValueError: an option is not what it may be.
        NotImplementedError: it asks for what this version does not have.
    """
    if parent is None and defaults.is_simple and not options.said:
        return Call(task=name, id=task_id, args=args, kwargs=kwargs, **defaults.fields)
    rules = defaults.rules
    fields = {**defaults.fields, **options.fields}
    expires = defaults.expires
    if parent is not None:
        fields.setdefault("parent_id", parent.id)
        fields.setdefault("root_id", parent.root_id or parent.id)
        if rules.inherit_priority and fields.get("priority") is None:
            fields["priority"] = parent.delivery_info.get("priority")
    if options.others:
        others = options.others
        expires = others.get("expires", expires)
        if "countdown" in others or "eta" in others:
            fields |= _start(start_of(others.get("countdown"), others.get("eta"), now=now, zone=rules.zone))
        if not _OF_THE_MESSAGE.isdisjoint(others):
            fields |= _what_else(name, options, rules, fields["queue"])
    if expires is not None:
        _add_expiry(fields, expires, rules, now)
    if "time_limit" in options.fields or "soft_time_limit" in options.fields:
        check_limits(f"a call of task {name!r}", fields)
    if defaults.shadow_name is not None and "shadow" not in fields:
        fields["shadow"] = defaults.shadow_name(args, kwargs, options.said) or None
    args, kwargs = _as_data(args, kwargs, fields, defaults)
    if defaults.unique is not None or not _OF_UNIQUENESS.isdisjoint(options.others):
        unique = uniqueness_of_call(task, defaults.unique, options.others)
        fields["unique"] = None if unique is None else unique.of_call(name, args, kwargs)
    if fields.get("headers"):  # perhaps those of another run
        fields["headers"] = {name: value for name, value in fields["headers"].items() if name not in OUR_HEADERS}
    room = defaults.room
    if "concurrency_key" in options.others:
        room = CallKey(
            "concurrency_key", options.others["concurrency_key"], None if task is None else signature_of(task)
        )
    if room is not None:
        fields["headers"] = {**(fields.get("headers") or {}), ROOM_HEADER: room.of_call(name, args, kwargs)}
    if defaults.shows_otherwise:
        _show_arguments(fields, args, kwargs, defaults)
    return Call(task=name, id=task_id, args=args, kwargs=kwargs, **fields)


_OF_UNIQUENESS: Final = frozenset({"unique_for", "unique_key", "on_conflict"})


def retry_of(
    context: Context,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    start: Moment | None,
    options: ReadOptions,
    defaults: Defaults,
    *,
    now: float,
) -> Call:
    """Return the next attempt at a run: the same id, one retry more, and as its parent that of the run, or itself.

    What the message of this attempt said is said again, except where `options` says otherwise.
    """
    if context.id is None or context.task is None:
        raise RuntimeError("this run came of no message, so there is nothing to retry")
    rules = defaults.rules
    hard, soft = context.timelimit or (None, None)
    queue = context.delivery_info.get("routing_key") or rules.queue_of(context.task)
    fields = {
        **defaults.fields,
        **{name: getattr(context, name) for name in _CARRIED_BY_RETRY},
        "queue": queue,
        "priority": context.delivery_info.get("priority"),
        "time_limit": hard,
        "soft_time_limit": soft,
        "root_id": context.root_id or context.id,
        "parent_id": context.parent_id or context.id,
        **_start(start),
        **options.fields,
        **_what_else(context.task, options, rules, options.fields.get("queue", queue)),
    }
    if fields["headers"]:
        fields["headers"], fields["unique"] = without_unique(fields["headers"])
    check_limits(f"a retry of task {context.task!r}", fields)
    if "expires" in options.others:
        _add_expiry(fields, options.others["expires"], rules, now)
    elif context.expires:
        _add_end(fields, Moment(parse_iso(context.expires, zone=rules.zone), context.expires), now)
    args, kwargs = _as_data(args, kwargs, fields, defaults)
    if defaults.shows_otherwise:
        _show_arguments(fields, args, kwargs, defaults)
    return Call(task=context.task, id=context.id, args=args, kwargs=kwargs, retries=context.retries + 1, **fields)


def publishing_of(options: ReadOptions, rules: SendingRules) -> tuple[float, RetryPolicy | None]:
    """Return the seconds within which a call is published, and how often that is tried.

    Raises:
        ValueError: the policy says what none has.
    """
    others = options.others
    timeout = others.get("timeout", others.get("confirm_timeout", rules.publish_timeout))
    if not others.get("retry", rules.publish_policy is not None):
        return timeout, None
    return timeout, read_policy(others.get("retry_policy"), rules.retry_policy)


def check_limits(what: str, fields: Mapping[str, Any]) -> None:
    """Raise `ValueError` when the soft time limit comes after the hard one, and so never."""
    hard, soft = fields.get("time_limit"), fields.get("soft_time_limit")
    if hard and soft and soft > hard:
        raise ValueError(
            f"soft_time_limit of {what} must be less than or equal to its time_limit, got {soft:g} and {hard:g} seconds"
        )


def _as_data(
    args: Sequence[Any], kwargs: Mapping[str, Any], fields: Mapping[str, Any], defaults: Defaults
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return the arguments with data in place of models, if the task has any; a pickle carries models as they are."""
    if defaults.models is None or fields.get("serializer") == "pickle":
        return args, kwargs
    return defaults.models.dump_arguments(args, kwargs)


def _what_else(name: str, options: ReadOptions, rules: SendingRules, queue: str) -> dict[str, Any]:
    """Return what follows from the options that are not fields themselves: the queue, and properties."""
    others = options.others
    fields: dict[str, Any] = {}
    if "route_name" in others and "queue" not in options.fields:
        fields["queue"] = queue = rules.queue_of(others["route_name"])
    if not _OF_EXCHANGES.isdisjoint(others):
        fields["queue"] = _queue_behind(name, others, queue, is_said="queue" in options.fields)
    properties = {key: others[key] for key in PROPERTIES if key in others} | others.get("properties", {})
    if properties:
        fields["properties"] = properties
    if "expiration" in others:
        fields["expiration_ms"] = int(others["expiration"] * 1000)
    return fields


_OF_EXCHANGES: Final = frozenset({"exchange", "exchange_type", "routing_key"})
_OF_THE_MESSAGE: Final = _OF_EXCHANGES | {"route_name", "expiration", "properties", *PROPERTIES}


def _queue_behind(name: str, others: Mapping[str, Any], queue: str, *, is_said: bool) -> str:
    """Return the queue that exchange and routing key lead to, as far as that needs no exchange of one's own.

    The exchange without a name leads to the queue that the routing key names; and the exchange of a queue's own name
    leads to it, which is how Celery declares its queues.
    """
    exchange, key = others.get("exchange"), others.get("routing_key")
    if exchange == "" and key and not is_said:
        return str(key)
    if exchange in (None, "", queue) and key in (None, "", queue):
        return queue
    said = f"exchange {exchange!r}" if exchange not in (None, "", queue) else f"routing key {key!r}"
    raise NotImplementedError(
        f"a call of task {name!r} for queue {queue!r} names {said}: exchanges come with a later version of celeriac; "
        "name the queue with queue=..."
    )


def _show_arguments(fields: dict[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any], defaults: Defaults) -> None:
    """Add the reprs of arguments that are not those that any call has."""
    levels = defaults.rules.repr_levels
    if defaults.hiding is not None:
        args, kwargs = defaults.hiding.hide(args, kwargs)
    fields.setdefault("argsrepr", bounded_repr(args, max_depth=levels))
    fields.setdefault("kwargsrepr", bounded_repr(kwargs, max_depth=levels))


def room_key_of(task: Task[..., Any]) -> CallKey | None:
    """Return what makes the keys of a task's concurrency limit; None when all its runs share it."""
    key = task.concurrency_key
    return None if key is None else CallKey("concurrency_key", key, signature_of(task))


def _own_hook(task: Task[..., Any], name: str) -> Any:
    """Return a method of a task, or None when it is still the one that all tasks have."""
    method = getattr(task, name, None)
    return None if getattr(method, "__func__", method) is getattr(Task, name, None) else method


def _start(start: Moment | None) -> dict[str, Any]:
    return {} if start is None else {"eta_at": start.at, "eta_text": start.text}


def _add_expiry(fields: dict[str, Any], expires: Any, rules: SendingRules, now: float) -> None:
    if type(expires) is float and 0 < expires < _A_CENTURY:  # what `end_of` makes of it, in a third of the time
        fields["expires_at"] = at = now + expires
        fields["expires_text"] = iso_text(at, zone=rules.zone)
        fields["expiration_ms"] = int(expires * 1000)
        return
    end = end_of(expires, now=now, zone=rules.zone)
    if end is not None:
        _add_end(fields, end, now)


def _add_end(fields: dict[str, Any], end: Moment, now: float) -> None:
    fields["expires_at"] = end.at
    fields["expires_text"] = end.text
    fields["expiration_ms"] = max(0, int((end.at - now) * 1000))
