"""What a call says, decided: from a task, its options and the settings to a `Call`. No I/O, no clock."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

import msgspec

from celeriac.app.call_keys import CallKey, signature_of
from celeriac.app.config import Settings
from celeriac.app.context import Context
from celeriac.app.hiding import Hiding, hiding_of
from celeriac.app.options import NOTHING_SAID, PROPERTIES, ReadOptions, read_call_options
from celeriac.app.publishing import RetryPolicy, read_policy
from celeriac.app.pydantic_tasks import Models
from celeriac.app.task import Task
from celeriac.app.timing import Moment, end_of, start_of
from celeriac.app.uniqueness import Uniqueness, uniqueness_of, uniqueness_of_call
from celeriac.brokers.routing import Router
from celeriac.brokers.topology import HEADERS, Queue
from celeriac.wire.limits import Limits
from celeriac.wire.properties import PERSISTENT
from celeriac.wire.protocol import Call
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.templates import Template, template_of
from celeriac.wire.times import iso_text, parse_iso
from celeriac.wire.unique import OUR_HEADERS, ROOM_HEADER, without_unique

_NAMES_KEPT: Final = 4096
_REPR_LEVELS: Final = 3
_UNLIMITED: Final = 1_000
_A_CENTURY: Final = 36_525 * 86_400.0
_NOT_SAID: Final = property()

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
        routing: what the task and its route say of queue, exchange and routing key.
        others: further options that the route says.
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
    routing: Mapping[str, Any] = {}
    others: Mapping[str, Any] = {}

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
        routing: Mapping[str, Any] = {},
        others: Mapping[str, Any] = {},
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
            routing=routing,
            others=others,
            shows_otherwise=shows_otherwise,
            is_simple=not shows_otherwise
            and not others
            and rules.router.is_static
            and all(each is None for each in (expires, shadow_name, models, unique, room)),
        )


class SendingRules(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the settings of one moment say about sending.

    Attributes:
        version: of the settings; other settings make other rules.
        publish_policy: None: publish once.
        repr_levels: nesting that the reprs of arguments show.
        tells_sent: an event is sent of every message.
        router: decides where calls go.
        declare: told of queues that a broker could not guess: others than those that are bound to an exchange of their
            own name.
        names: what is known of tasks that are not registered here, by name.
        ways: of calls that name nothing but a queue, by its name.
    """

    version: int
    zone: tzinfo
    limits: Limits
    router: Router
    declare: Callable[[Queue], None]
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
    ways: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, conf: Settings, router: Router, declare: Callable[[Queue], None]) -> SendingRules:
        """Read the rules from the settings as they are now."""
        policy = read_policy(conf.task_publish_retry_policy)
        return cls(
            version=conf.version,
            zone=conf.zone,
            limits=conf.limits,
            router=router,
            declare=declare,
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
            ways={},
        )

    def queue_of(self, task_name: str) -> str:
        """Return the queue for a task that names none."""
        name: str = self.way(self.routing_of(task_name))["queue"]
        return name

    def routing_of(self, task_name: str) -> Mapping[str, Any]:
        """Return what the routes say of a task's way, where nothing but its name is known."""
        found = self.router.lookup_route(task_name, (), {}, {}) or {}
        return {key: value for key, value in found.items() if key in OF_ROUTING and value is not None}

    def _routed(
        self,
        name: str,
        own: Mapping[str, Any],
        args: Any = (),
        kwargs: Any = None,
        options: Mapping[str, Any] | None = None,
        task: Any = None,
    ) -> tuple[dict[str, Any], dict[str, Any], ReadOptions]:
        """Return what is said of a call's way, the fields that follow, and what else its route says.

        Args:
            own: what the task says of the way; it wins over the route.
            args, kwargs, options, task: for routers that look at them.
        """
        found: Mapping[str, Any] = self.router.lookup_route(name, args, kwargs or {}, dict(options or {}), task) or {}
        routing = {key: value for key, value in found.items() if key in OF_ROUTING and value is not None} | dict(own)
        others = {key: value for key, value in found.items() if key not in OF_ROUTING}
        said = read_call_options(name, others, what="the route") if others else NOTHING_SAID
        return routing, self.way(routing), said

    def declared(self, options: ReadOptions) -> None:
        """Declare what a call wants to be there."""
        for queue in options.others.get("declare", ()):
            self.declare(queue)

    def into(self, queue: str) -> dict[str, Any]:
        """Return the fields of a call that says nothing of its way but the name of a queue."""
        fields = self.ways.get(queue)
        if fields is None:
            if len(self.ways) >= _NAMES_KEPT:
                self.ways.clear()
            fields = self.ways[queue] = self.way({"queue": queue})
        return fields

    def way(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a call that say where it goes.

        Raises:
            QueueNotFound: a queue is named that is not listed, and missing ones are not made.
            ValueError: it cannot be told from what is said.
        """
        found = self.router.destination(said)
        if found.declares is not None and not found.declares.is_plain:
            self.declare(found.declares)
        fields: dict[str, Any] = {"queue": found.queue}
        if found.route is not None:
            mandatory = said.get("mandatory")
            fields["route"] = (
                found.route if mandatory is None else msgspec.structs.replace(found.route, mandatory=mandatory)
            )
        if found.delivery_mode is not None:
            fields["delivery_mode"] = found.delivery_mode
        return fields

    def of_name(self, name: str) -> Defaults:
        """Return what calls say of a task that is not registered here.

        Whether its result is kept, and how long it may run, is left to where it runs.
        """
        defaults = self.names.get(name)
        if defaults is None:
            if len(self.names) >= _NAMES_KEPT:
                self.names.clear()
            routing, way, said = self._routed_by_name(name, {})
            fields: dict[str, Any] = {"ignore_result": None}
            if self.default_priority is not None:
                fields["priority"] = self.default_priority
            fields |= {**self._form(None), **way, **said.fields}
            defaults = self.names[name] = Defaults.of(self, fields, routing=routing, others=said.others)
        return defaults

    def _routed_by_name(
        self, name: str, own: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], dict[str, Any], ReadOptions]:
        """Return the way of a task's calls, as far as it is the same for all of them."""
        if self.router.is_static:
            return self._routed(name, own)
        return own, self.way(own), NOTHING_SAID

    def of_task(self, task: Task[..., Any]) -> Defaults:
        """Return what calls of a task say.

        Raises:
            ValueError: the task's options contradict each other.
        """
        own = {name: value for name in OF_ROUTING if (value := getattr(task, name, None)) is not None}
        routing, way, said = self._routed_by_name(task.name, own)
        fields: dict[str, Any] = {
            "ignore_result": task.ignore_result,
            **{
                name: value
                for name in ("priority", "time_limit", "soft_time_limit")
                if (value := getattr(task, name, None)) is not None
            },
            **self._form(task),
            **({**way, "delivery_mode": mode} if (mode := getattr(task, "delivery_mode", None)) else way),
            **{name: value for name, value in said.fields.items() if not _is_said_by(task, name)},
        }
        check_limits(f"task {task.name!r}", fields)
        return Defaults.of(
            self,
            fields,
            expires=said.others.get("expires") if task.expires is None else task.expires,
            hiding=hiding_of(task),
            shadow_name=_own_hook(task, "shadow_name"),
            models=task.models,
            unique=uniqueness_of(task),
            room=room_key_of(task),
            routing=routing,
            others={name: value for name, value in said.others.items() if name != "expires"},
        )

    def for_call(
        self,
        defaults: Defaults,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: ReadOptions,
        task: Task[..., Any] | None,
    ) -> Defaults:
        """Return what one call says, where routers look at calls."""
        said_of_way = {key: value for key, value in options.others.items() if key in OF_ROUTING}
        seen = {**options.said, **self.router.expand_destination({**defaults.routing, **said_of_way})}
        routing, way, said = self._routed(name, defaults.routing, args, kwargs, seen, task)
        own = {key: value for key, value in said.fields.items() if task is None or not _is_said_by(task, key)}
        changed: Defaults = msgspec.structs.replace(
            defaults,
            fields={**{key: value for key, value in defaults.fields.items() if key != "route"}, **way, **own},
            expires=said.others.get("expires") if defaults.expires is None else defaults.expires,
            routing=routing,
            others={key: value for key, value in said.others.items() if key != "expires"},
        )
        return changed

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
    if not rules.router.is_static:
        defaults = rules.for_call(defaults, options.others.get("route_name", name), args, kwargs, options, task)
    fields = {**defaults.fields, **options.fields}
    expires = defaults.expires
    if parent is not None:
        fields.setdefault("parent_id", parent.id)
        fields.setdefault("root_id", parent.root_id or parent.id)
        if rules.inherit_priority and fields.get("priority") is None:
            fields["priority"] = parent.delivery_info.get("priority")
    others = {**defaults.others, **options.others} if defaults.others else options.others
    if others:
        expires = others.get("expires", expires)
        if "countdown" in others or "eta" in others:
            fields |= _start(start_of(others.get("countdown"), others.get("eta"), now=now, zone=rules.zone))
        if not _OF_PROPERTIES.isdisjoint(others):
            fields |= _properties(others)
        if "declare" in others:
            rules.declared(options)
        if not _OF_THE_WAY.isdisjoint(others):
            fields.pop("route", None)
            way = _way_of(others, defaults)
            fields |= {**way, "delivery_mode": fields["delivery_mode"]} if "delivery_mode" in options.fields else way
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
    route = fields.get("route")
    if route is not None and route.kind in (HEADERS, None) and fields.get("headers"):
        fields["route"] = msgspec.structs.replace(route, headers=fields["headers"])
    if defaults.shows_otherwise:
        _show_arguments(fields, args, kwargs, defaults)
    return Call(task=name, id=task_id, args=args, kwargs=kwargs, **fields)


def template_for(name: str, defaults: Defaults, origin: str) -> Template | None:
    """Return what writes the calls of a task whose options say nothing, and that no run makes.

    None where each of them has to be decided, or is written in protocol 1.
    """
    if not defaults.is_simple or defaults.rules.protocol == 1:
        return None
    return template_of(name, defaults.fields, origin=origin, limits=defaults.rules.limits)


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
    queue = context.queue_of_origin or rules.queue_of(context.task)
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
        **_properties(options.others),
    }
    fields.pop("route", None)  # back to where it came from, and not to all who have had the message
    if not OF_ROUTING.isdisjoint(options.others):
        fields |= rules.way({key: value for key, value in options.others.items() if key in OF_ROUTING})
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


OF_ROUTING: Final = frozenset(("queue", "exchange", "exchange_type", "routing_key", "mandatory"))
"""Options that say where a call goes."""

_OF_PROPERTIES: Final = frozenset(("expiration", "properties", *PROPERTIES))
_OF_THE_WAY: Final = OF_ROUTING | {"route_name"}
_BUT_A_QUEUE: Final = _OF_THE_WAY - {"queue"}


def _way_of(others: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    """Return the fields that say where a call goes whose options say something of that."""
    rules, routing = defaults.rules, defaults.routing
    if _BUT_A_QUEUE.isdisjoint(others) and _BUT_A_QUEUE.isdisjoint(routing) and type(others["queue"]) is str:
        return rules.into(others["queue"])  # a third of what the whole way takes
    if "route_name" in others and rules.router.is_static:
        routing = rules.routing_of(others["route_name"])
    return rules.way({**routing, **{key: value for key, value in others.items() if key in OF_ROUTING}})


def _properties(others: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    properties = {key: others[key] for key in PROPERTIES if key in others} | others.get("properties", {})
    if properties:
        fields["properties"] = properties
    if "expiration" in others:
        fields["expiration_ms"] = int(others["expiration"] * 1000)
    return fields


def _is_said_by(task: Task[..., Any], field: str) -> bool:
    """Say whether a task says an option itself, instead of what the settings say."""
    return not hasattr(inspect.getattr_static(task, field, _NOT_SAID), "__get__") and getattr(task, field) is not None


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
