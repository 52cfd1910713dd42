"""The table of queues that an app knows, and which of them a node consumes (`app.amqp.queues`). Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from celeriac.brokers.topology import Exchange, Queue, looks_like_queue, queue_of

QUEUE_TYPES: Final = ("classic", "quorum")


class Queues(dict[str, Queue]):
    """Know queues by their names and aliases.

    Args:
        queues: a list of queues, or a dict of name to queue or to a dict of what `Queue.from_dict` takes.
        default_exchange: of queues that name none; None: they have none.
        create_missing: a queue that is asked for and not listed is made; else that is a `KeyError`.
        create_missing_queue_type: one of `QUEUE_TYPES`: of such queues, on RabbitMQ.
        create_missing_queue_exchange_type: of their exchanges; None: direct.
        autoexchange: makes their exchanges, of the name of the queue.
        max_priority: highest priority of queues that name none, on RabbitMQ.
        default_routing_key: of queues that name none.

    Attributes:
        aliases: further names, to queues.
        on_add: told of queues that come later.
    """

    def __init__(
        self,
        queues: Mapping[str, Any] | Iterable[Any] | None = None,
        default_exchange: Exchange | None = None,
        create_missing: bool = True,
        create_missing_queue_type: str | None = None,
        create_missing_queue_exchange_type: str | None = None,
        autoexchange: Callable[[str], Exchange | None] | None = None,
        max_priority: int | None = None,
        default_routing_key: str | None = None,
    ) -> None:
        super().__init__()
        self.aliases: WeakValueDictionary[str, Queue] = WeakValueDictionary()
        self.default_exchange = default_exchange
        self.default_routing_key = default_routing_key
        self.create_missing = create_missing
        self.create_missing_queue_type = create_missing_queue_type
        self.create_missing_queue_exchange_type = create_missing_queue_exchange_type
        self.autoexchange = Exchange if autoexchange is None else autoexchange
        self.max_priority = max_priority
        self.on_add: Callable[[Queue], None] | None = None
        self._consume_from: dict[str, Queue] | None = None
        for name, given in listed_queues(queues):
            if looks_like_queue(given):
                self.add(given)
            else:
                self.add_compat(name, **given)
        self._default_consume_from = dict(self)

    def __getitem__(self, name: str) -> Queue:
        queue = self.aliases.get(name)
        return super().__getitem__(name) if queue is None else queue

    def __setitem__(self, name: str, queue: Queue) -> None:
        super().__setitem__(name, self._completed(queue))
        if queue.alias:
            self.aliases[queue.alias] = queue

    def _completed(self, queue: Queue) -> Queue:
        """Add to a queue what the settings say where it says nothing."""
        if self.default_exchange is not None and queue.exchange is None:
            queue.exchange = self.default_exchange
        if not queue.routing_key and self.default_routing_key:
            queue.routing_key = self.default_routing_key
        if self.max_priority is not None and "x-max-priority" not in (queue.queue_arguments or {}):
            queue.queue_arguments = {**(queue.queue_arguments or {}), "x-max-priority": self.max_priority}
        return queue

    def __missing__(self, name: str) -> Queue:
        if self.create_missing:
            return self.add(self.new_missing(name))
        raise KeyError(name)

    def find(self, name: str) -> Queue | None:
        """Return the queue of a name or alias; one that is not listed is made and not kept, or None if it may not be.

        Programs may send to any number of names that they make up.
        """
        queue = self.aliases.get(name) or self.get(name)
        if queue is None and self.create_missing:
            queue = self._completed(self.new_missing(name))
        return queue

    def add(self, queue: Any, **options: Any) -> Queue:
        """Add a queue: a `Queue`, or a name and what `Queue.from_dict` takes."""
        if not looks_like_queue(queue):
            return self.add_compat(queue, **options)
        return self._add(copy.copy(queue_of(queue)))  # what the settings add to it is theirs

    def add_compat(self, name: str, **options: Any) -> Queue:
        """Add a queue of that name; without a routing key its own name is that."""
        if options.get("routing_key") is None:
            options["routing_key"] = options.get("binding_key") or name
        return self._add(Queue.from_dict(name, **options))

    def _add(self, queue: Queue) -> Queue:
        if self.default_exchange is not None and queue.exchange is not None and queue.exchange.name == "":
            queue.exchange = self.default_exchange
        self[queue.name] = queue
        if self.on_add is not None:
            self.on_add(queue)
        return queue

    def new_missing(self, name: str) -> Queue:
        """Make the queue of a name that is not listed.

        Raises:
            ValueError: there is no such type of queues.
        """
        kind = self.create_missing_queue_type
        if kind and kind not in QUEUE_TYPES:
            raise ValueError(f"queue type must be one of {', '.join(QUEUE_TYPES)}, got {kind!r}")
        arguments = {"x-queue-type": kind} if kind and kind != "classic" else None
        if self.create_missing_queue_exchange_type:
            exchange: Exchange | None = Exchange(name, self.create_missing_queue_exchange_type)
        else:
            exchange = self.autoexchange(name)
        return Queue(name, exchange, name, queue_arguments=arguments)

    # -- what a node consumes -----------------------------------------------------------------------------------

    @property
    def consume_from(self) -> dict[str, Queue]:
        """The queues that a node consumes: those of `-Q`, else all that are listed."""
        return self._default_consume_from if self._consume_from is None else self._consume_from

    def select(self, include: str | Iterable[str] | None) -> None:
        """Consume only these queues, given by names or aliases.

        Raises:
            KeyError: one is not listed, and missing ones are not made.
        """
        names = _listed(include)
        if names:
            found = [self[name] for name in names]
            self._consume_from = {queue.name: queue for queue in found}

    def select_add(self, queue: Any, **options: Any) -> Queue:
        """Add a queue that is consumed, whatever else is selected."""
        added = self.add(queue, **options)
        self.consume_from[added.name] = added
        return added

    def deselect(self, exclude: str | Iterable[str] | None) -> None:
        """Do not consume these queues; names that are not listed are none of them."""
        for name in _listed(exclude):
            queue = self.aliases.get(name)
            self.consume_from.pop(name if queue is None else queue.name, None)

    def format(self, indent: int = 0, indent_first: bool = True) -> str:
        """Write what is consumed as lines for people."""
        lines = [
            f".> {queue.name:<16} exchange={queue.exchange.name}({queue.exchange.type}) key={queue.routing_key}"
            for _, queue in sorted(self.consume_from.items())
            if queue.exchange is not None
        ]
        return "\n".join(line if at == 0 and not indent_first else " " * indent + line for at, line in enumerate(lines))


def listed_queues(given: Mapping[str, Any] | Iterable[Any] | None) -> list[tuple[str, Any]]:
    """Return what `task_queues` lists, as pairs of name and queue or dict.

    Raises:
        ValueError: it is none of its forms; the text says what stands there.
    """
    if given is None:
        return []
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, (list, tuple, set, frozenset)):
        pairs = []
        for each in given:
            if not looks_like_queue(each):
                raise ValueError(f"{each!r} in the list is no Queue")
            pairs.append((each.name, each))
    else:
        raise ValueError(f"{type(given).__name__} is neither a list of queues nor a dict")
    for name, each in pairs:
        if not isinstance(name, str) or not name:
            raise ValueError(f"{name!r} is no name of a queue")
        if not looks_like_queue(each) and not isinstance(each, Mapping):
            raise ValueError(f"queue {name!r} is neither a Queue nor a dict")
    return pairs


def check_queues(given: Any) -> None:
    """Raise `ValueError` or `TypeError` for what `task_queues` may not be."""
    Queues(given)


def _listed(names: str | Iterable[str] | None) -> list[str]:
    if not names:
        return []
    return [names] if isinstance(names, str) else list(names)
