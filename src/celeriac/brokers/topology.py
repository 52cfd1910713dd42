"""Exchanges, queues and what binds them: the declarations that programs make, with kombu's names and arguments.

They say what there is to be and connect to nothing. Which queue a message goes to follows from them in `exchanges.py`;
what a task's calls are sent to, in `routing.py`. Objects of kombu itself are read by their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from celeriac.ids import new_id

DIRECT: Final = "direct"
TOPIC: Final = "topic"
FANOUT: Final = "fanout"
HEADERS: Final = "headers"
KINDS: Final = (DIRECT, TOPIC, FANOUT, HEADERS)
"""Types of exchanges."""

_DELIVERY_MODES: Final = {"transient": 1, "persistent": 2}


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Lead from an exchange to a queue.

    Attributes:
        exchange: its name.
        kind: its type, one of `KINDS`; another one is an extension of the broker's.
        routing_key: the key itself; of a topic exchange a pattern, where ``*`` is a word and ``#`` any number of them.
        queue: where messages go.
        arguments: of a headers exchange: the headers that a message must have (`x-match`: all of them, or any).
    """

    exchange: str
    kind: str
    routing_key: str
    queue: str
    arguments: dict[str, Any] | None = None

    def __hash__(self) -> int:
        return hash((self.exchange, self.kind, self.routing_key, self.queue))


class _Declared:
    """Hold attributes that are compared, shown and written as a dict.

    Attributes:
        attrs: names and what makes the value of each, or None where it is kept as it is.
    """

    attrs: ClassVar[tuple[tuple[str, Any], ...]] = ()

    def _take(self, given: Mapping[str, Any]) -> None:
        known = dict(self.attrs)
        for name in given:
            if name not in known:
                raise TypeError(f"{type(self).__name__} has no argument {name!r}; there are {', '.join(known)}")
        for name, make in known.items():
            value = given.get(name)
            if value is not None:
                setattr(self, name, value if make is None else make(value))
            elif not hasattr(self, name):
                setattr(self, name, None)

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:
        """Return the attributes; with `recurse` exchanges and bindings as dicts, too."""

        def plain(value: Any) -> Any:
            if recurse and isinstance(value, _Declared):
                return value.as_dict(recurse=True)
            if isinstance(value, (list, tuple, set, frozenset)):
                return [plain(one) for one in value]
            return value

        return {name: plain(getattr(self, name, None)) for name, _ in self.attrs}


def _mode(value: Any) -> Any:
    return _DELIVERY_MODES.get(value, value) if isinstance(value, str) else value


def _without_channel(what: str, channel: Any) -> None:
    if channel is not None:
        raise NotImplementedError(
            f"{what} cannot be bound to a channel: celeriac has no kombu connections; leave the channel out, "
            "the broker declares what is used"
        )


class Exchange(_Declared):
    """Say that there is to be an exchange.

    Args:
        name: "" is the exchange of AMQP that leads to each queue by its name.
        type: one of `KINDS`.
        channel: None.
        arguments, durable, passive, auto_delete, delivery_mode, no_declare: as in kombu; for RabbitMQ, but for the
            delivery mode, which messages have that are sent to queues of this exchange.
    """

    attrs = (
        ("name", None),
        ("type", None),
        ("arguments", None),
        ("durable", bool),
        ("passive", bool),
        ("auto_delete", bool),
        ("delivery_mode", _mode),
        ("no_declare", bool),
    )

    name = ""
    type = DIRECT
    arguments: Mapping[str, Any] | None = None
    durable = True
    passive = False
    auto_delete = False
    delivery_mode: int | None = None
    no_declare = False

    def __init__(self, name: str = "", type: str = "", channel: Any = None, **options: Any) -> None:
        _without_channel(f"exchange {name!r}", channel)
        self._take(options)
        self.name = name or self.name
        self.type = type or self.type

    def binding(
        self, routing_key: str = "", arguments: Mapping[str, Any] | None = None, unbind_arguments: Any = None
    ) -> binding:
        """Return what binds a queue to this exchange: ``Queue("q", [logs.binding("a"), logs.binding("b")])``."""
        return binding(self, routing_key, arguments, unbind_arguments)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Exchange):
            return NotImplemented
        names = ("name", "type", "arguments", "durable", "auto_delete", "delivery_mode")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def __hash__(self) -> int:
        return hash(("exchange", self.name))

    def __str__(self) -> str:
        return f"Exchange {self.name or repr('')}({self.type})"

    def __repr__(self) -> str:
        return f"<{self}>"


class binding(_Declared):  # noqa: N801 - kombu's name
    """Bind a queue that has several bindings to one exchange."""

    attrs = (("exchange", None), ("routing_key", None), ("arguments", None), ("unbind_arguments", None))

    def __init__(
        self,
        exchange: Exchange | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        unbind_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.arguments = arguments
        self.unbind_arguments = unbind_arguments

    def __str__(self) -> str:
        return f"{'' if self.exchange is None else self.exchange.name}->{self.routing_key}"

    def __repr__(self) -> str:
        return f"<binding: {self}>"


class Queue(_Declared):
    """Say that there is to be a queue, and what leads to it.

    Args:
        name: of the queue.
        exchange: an `Exchange`, the name of a direct one, or a list of bindings.
        routing_key: by which that exchange leads here. What is left out here, the settings say.
        channel: None.
        bindings: what else leads here.
        on_declared: called by nobody: there is nothing to be told.
        options: `queue_arguments`, `binding_arguments`, `consumer_arguments`, `durable`, `exclusive`, `auto_delete`,
            `no_ack`, `alias` (another name, for `-Q` and routes), `no_declare`, `expires` and `message_ttl` (seconds),
            `max_length`, `max_length_bytes`, `max_priority`: as in kombu; for RabbitMQ, but for the alias. `no_ack` has
            no effect: nodes acknowledge what they have done.
    """

    attrs: ClassVar[tuple[tuple[str, Any], ...]] = (
        ("name", None),
        ("exchange", None),
        ("routing_key", None),
        ("queue_arguments", None),
        ("binding_arguments", None),
        ("consumer_arguments", None),
        ("durable", bool),
        ("exclusive", bool),
        ("auto_delete", bool),
        ("no_ack", None),
        ("alias", None),
        ("bindings", list),
        ("no_declare", bool),
        ("expires", float),
        ("message_ttl", float),
        ("max_length", int),
        ("max_length_bytes", int),
        ("max_priority", int),
    )

    name = ""
    exchange: Exchange | None = Exchange("")
    routing_key = ""
    queue_arguments: dict[str, Any] | None = None
    binding_arguments: Mapping[str, Any] | None = None
    consumer_arguments: Mapping[str, Any] | None = None
    durable = True
    exclusive = False
    auto_delete = False
    no_ack = False
    alias: str | None = None
    no_declare: bool | None = None
    expires: float | None = None
    message_ttl: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    max_priority: int | None = None

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | Iterable[binding] | None = None,
        routing_key: str = "",
        channel: Any = None,
        bindings: Iterable[binding] | None = None,
        on_declared: Any = None,
        **options: Any,
    ) -> None:
        _without_channel(f"queue {name!r}", channel)
        self._take(options)
        self.name = name or self.name
        self.routing_key = routing_key or self.routing_key
        self.bindings = list(bindings or ())
        self.on_declared = on_declared
        if isinstance(exchange, str):
            self.exchange = Exchange(exchange)
        elif isinstance(exchange, (list, tuple, set, frozenset)):
            self.bindings += exchange
        elif exchange is not None:
            self.exchange = exchange_of(exchange)
        if self.bindings:
            self.exchange = None
        if self.exclusive:
            self.auto_delete = True

    @classmethod
    def from_dict(cls, queue: str, **options: Any) -> Queue:
        """Make a queue of what `task_queues` says about it, such as ``{"exchange": "x", "routing_key": "k"}``.

        Raises:
            TypeError: there is no such option; the text names the queue.
        """
        known = {name for name, _ in cls.attrs} | _OF_DICTS
        for name in options:
            if name not in known:
                raise TypeError(f"queue {queue!r} says {name!r}; there are {', '.join(sorted(known))}")
        either = {
            f"{of}_{name}": options.get(f"{of}_{name}", options.get(name))
            for of in ("exchange", "queue")
            for name in ("durable", "auto_delete")
        }
        exchange = options.get("exchange")
        if exchange is None or isinstance(exchange, str):
            exchange = Exchange(
                exchange or "",
                options.get("exchange_type") or "",
                delivery_mode=options.get("delivery_mode"),
                durable=either["exchange_durable"],
                auto_delete=either["exchange_auto_delete"],
                arguments=options.get("exchange_arguments"),
            )
        own = {
            name: options[name]
            for name, _ in cls.attrs
            if name in options and name not in ("name", "exchange", "routing_key", "durable", "auto_delete", "bindings")
        }
        return Queue(
            queue,
            exchange,
            options.get("binding_key") or options.get("routing_key") or "",
            bindings=options.get("bindings"),
            durable=either["queue_durable"],
            auto_delete=either["queue_auto_delete"],
            **own,
        )

    def leads_here(self) -> list[Binding]:
        """Return all that leads to this queue, beside its name."""
        found = []
        if self.exchange is not None and self.exchange.name:
            found.append(self._bound(self.exchange, self.routing_key, self.binding_arguments))
        found += [
            self._bound(each.exchange, each.routing_key, each.arguments)
            for each in self.bindings
            if each.exchange is not None and each.exchange.name
        ]
        return found

    def _bound(self, exchange: Exchange, key: str | None, arguments: Mapping[str, Any] | None) -> Binding:
        return Binding(
            exchange=exchange.name,
            kind=exchange.type,
            routing_key=key or "",
            queue=self.name,
            arguments=dict(arguments) if arguments else None,
        )

    @property
    def is_plain(self) -> bool:
        """It is bound as each queue is of which nothing is said: to a direct exchange of its name, by its name."""
        own = self.exchange
        return (
            not self.bindings
            and own is not None
            and own.name == self.name == self.routing_key
            and own.type == DIRECT
            and not self.is_temporary
        )

    @property
    def is_temporary(self) -> bool:
        """It ends with the node that consumes it."""
        return bool(self.auto_delete or self.exclusive)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Queue):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    def __hash__(self) -> int:
        return hash(("queue", self.name))

    def __str__(self) -> str:
        if self.bindings:
            return f"Queue {self.name} -> [{', '.join(map(str, self.bindings))}]"
        return f"Queue {self.name} -> {self.exchange!r} -> {self.routing_key}"

    def __repr__(self) -> str:
        return f"<{self}>"


_COMPARED: Final = (
    *("name", "exchange", "routing_key", "queue_arguments", "binding_arguments", "consumer_arguments"),
    *("durable", "exclusive", "auto_delete"),
)

_OF_DICTS: Final = frozenset(
    (
        *("binding_key", "delivery_mode", "exchange_arguments", "exchange_auto_delete", "exchange_durable"),
        *("exchange_type", "queue_auto_delete", "queue_durable"),
    )
)
"""What a queue's dict may say beside the queue's own attributes."""


class Broadcast(Queue):
    """Say that there is to be a queue for each node, in which it finds all messages to an exchange.

    Args:
        name: of the fanout exchange; also the alias, by which routes and `-Q` name it.
        queue: name of the queue, the same for all nodes that say so; None makes one.
        unique: make the name a new one even so.
        auto_delete: the queue ends with its node.
        exchange: another one than that.
        alias: another one than `name`.
        options: as for `Queue`.
    """

    attrs = (*Queue.attrs, ("queue", None))

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Exchange | str | None = None,
        alias: str | None = None,
        **options: Any,
    ) -> None:
        own = f"{queue or 'bcast'}.{new_id()}" if unique or not queue else queue
        super().__init__(
            own,
            exchange if exchange is not None else Exchange(name or "", FANOUT),
            queue=own,
            alias=alias or name,
            auto_delete=auto_delete,
            **options,
        )


def exchange_of(given: Any) -> Exchange:
    """Return an exchange as ours: itself, or one like an object of kombu's.

    Raises:
        TypeError: it is no exchange.
    """
    if isinstance(given, Exchange):
        return given
    if not hasattr(given, "name") or not hasattr(given, "type"):
        raise TypeError(f"{given!r} is no exchange")
    return Exchange(given.name or "", given.type or "", **_said(given, Exchange.attrs, but=("name", "type")))


def queue_of(given: Any) -> Queue:
    """Return a queue as ours likewise."""
    if isinstance(given, Queue):
        return given
    if not looks_like_queue(given):
        raise TypeError(f"{given!r} is no queue")
    said = _said(given, Queue.attrs, but=("name", "exchange", "routing_key", "bindings"))
    if hasattr(given, "queue") and given.exchange is not None:  # kombu's Broadcast
        said["routing_key"] = given.routing_key or ""
        return Broadcast(queue=given.name, exchange=exchange_of(given.exchange), **said)
    bindings = [
        binding(exchange_of(each.exchange), each.routing_key, each.arguments, each.unbind_arguments)
        for each in given.bindings or ()
    ]
    exchange = None if given.exchange is None else exchange_of(given.exchange)
    return Queue(given.name, exchange, given.routing_key or "", bindings=bindings, **said)


def looks_like_queue(given: Any) -> bool:
    """Say whether an object is a queue, ours or kombu's."""
    return isinstance(given, Queue) or all(
        hasattr(given, name) for name in ("name", "exchange", "routing_key", "bindings", "queue_arguments")
    )


def looks_like_exchange(given: Any) -> bool:
    """Say whether an object is an exchange, ours or kombu's."""
    return isinstance(given, Exchange) or (
        not looks_like_queue(given) and all(hasattr(given, name) for name in ("name", "type", "delivery_mode"))
    )


def _said(given: Any, attrs: Iterable[tuple[str, Any]], *, but: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(given, name, None) for name, _ in attrs if name not in but}


def worker_direct(hostname: Any) -> Queue:
    """Return the queue that one node alone consumes, if it is started with `worker_direct`.

    Args:
        hostname: name of the node, or that queue itself.
    """
    if looks_like_queue(hostname):
        return queue_of(hostname)
    return Queue(f"{hostname}.dq2", Exchange("C.dq2"), hostname)
