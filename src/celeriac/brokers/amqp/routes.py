"""Where messages go on RabbitMQ, and what must be declared before. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from celeriac.brokers.amqp.carried import NO_COUNTS, Carried, Counts, Outgoing, carry
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.topology import (
    LONGEST_DELAY,
    QUORUM,
    Exchange,
    Queue,
    declared_parts,
    key_to_queue,
    ladder,
    ladder_end,
    ladder_ends_of_celery,
    plain_queue_parts,
    queue_arguments,
    shared_parts,
    up_the_ladder,
)
from celeriac.brokers.amqp.topology import Declared as Need
from celeriac.brokers.declared import Declared
from celeriac.brokers.exchanges import must_arrive
from celeriac.brokers.topology import DIRECT, FANOUT, TOPIC
from celeriac.brokers.topology import Queue as TaskQueue
from celeriac.message import Message, Route

_REMEMBERED: Final = 4096

HELD_BY_NODES: Final = 2.0
"""Seconds of a delay that the ladder, which counts in whole seconds, leaves to a node."""


class Routes:
    """Know where messages go by what the settings say."""

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._ladder = tuple(ladder(options.delayed_queue_type))
        self.declared = Declared()
        self._needs: dict[str, tuple[Need, ...]] = {}
        self._celery_delays = False

    def declare(self, queues: Iterable[TaskQueue]) -> None:
        """Know what queues there are to be."""
        known = list(queues)
        self.declared.add(known)
        self._needs = {}
        self._celery_delays |= any(QUORUM in queue_arguments(queue) for queue in known)

    def needs_of(self, queue: str) -> tuple[Need, ...]:
        """Return what must be there before a queue of tasks is used, but for what only its node can declare."""
        needs = self._needs.get(queue)
        if needs is None:
            declared = self.declared.queue(queue)
            if declared is not None:
                needs = tuple(shared_parts(declared) if declared.exclusive else declared_parts(declared))
            else:
                needs = tuple(plain_queue_parts(queue, self._options.queue_type, self._options.max_priority))
            if len(self._needs) >= _REMEMBERED:
                self._needs = {}
            self._needs[queue] = needs
        return needs

    def needs_of_delays(self, queue: str) -> tuple[Need, ...]:
        """Return what must be there before something is delayed on its way to a queue, likewise."""
        ends = () if self._is_exclusive(queue) else self._ladder_ends(queue)
        return (*self._ladder, *self.needs_of(queue), *ends)

    def needs_of_node(self, queue: str) -> tuple[Need, ...]:
        """Return what a node declares on the connection that it consumes on: nobody else may, nor after it has gone."""
        declared = self.declared.queue(queue)
        if declared is None or not self._is_exclusive(queue):
            return ()
        return (*declared_parts(declared), *self._ladder_ends(queue))

    def _is_exclusive(self, queue: str) -> bool:
        declared = self.declared.queue(queue)
        return declared is not None and declared.exclusive

    def _ladder_ends(self, queue: str) -> Iterator[Need]:
        yield ladder_end(queue)
        if self._celery_delays:
            yield from ladder_ends_of_celery(self.declared.leads_to(queue))

    def consumer_arguments(self, queue: str) -> Mapping[str, Any]:
        """Return what a node says when it begins to consume a queue, such as its ``x-priority`` among consumers."""
        declared = self.declared.queue(queue)
        return {} if declared is None else declared.consumer_arguments or {}

    def is_quorum(self, queue: str) -> bool:
        """Say whether a queue is declared as a quorum queue."""
        needs = (*self.needs_of(queue), *self.needs_of_node(queue))
        return any(isinstance(need, Queue) and need.is_quorum for need in needs)

    def is_temporary(self, queue: str) -> bool:
        """Say whether a queue ends with its last consumer, and what is in it as well."""
        declared = self.declared.queue(queue)
        return declared is not None and declared.is_temporary

    def outgoing(
        self, message: Message, *, now: float, counts: Counts = NO_COUNTS, due_at: float | None = None
    ) -> Outgoing:
        """Return how a message is published, by way of the ladder when it is due later.

        Args:
            now: unix instant.
            due_at: unix instant before which nobody is to have it; None: its own ETA.
        """
        if due_at is not None:
            seconds = math.ceil(due_at - now)  # nothing in the message says when: it must not come too early
        else:
            seconds = 0 if message.eta_at is None else math.floor(message.eta_at - now)
        carried = carry(message, counts)
        if message.route is not None and due_at is None:
            return self._to_exchange(carried, message.route, seconds)
        if seconds < 1:
            return Outgoing(carried, "", message.queue, self.needs_of(message.queue))
        exchange, key = up_the_ladder(min(seconds, LONGEST_DELAY), key_to_queue(message.queue))
        return Outgoing(carried, exchange, key, self.needs_of_delays(message.queue))

    def _to_exchange(self, carried: Carried, route: Route, seconds: int) -> Outgoing:
        """Publish to an exchange, at once even what is due later: no end of the ladder leads on as every exchange does.

        Whoever gets it too early sends it up the ladder to its own queue. But where Celery's own workers are to expect
        delayed messages, behind exchanges of topics and for everybody when there are quorum queues, they get them so.
        """
        bound = dict.fromkeys(each.queue for each in self.declared.behind(route.exchange))
        needs = [need for queue in bound for need in self.needs_of(queue)]
        if not bound and route.exchange == route.routing_key and route.kind in (None, DIRECT):
            needs += self.needs_of(route.exchange)  # as each queue is bound of which nothing is said
        elif not bound and route.kind is not None and not route.exchange.startswith("amq."):
            needs.append(Exchange(name=route.exchange, type=route.kind))
        mandatory = must_arrive(route, ())
        if seconds < 1 or not self._celery_delays or route.kind not in (TOPIC, FANOUT) or not bound:
            return Outgoing(carried, route.exchange, route.routing_key, tuple(needs), mandatory)
        exchange, key = up_the_ladder(min(seconds, LONGEST_DELAY), route.routing_key)
        shared = [queue for queue in bound if not self._is_exclusive(queue)]
        ends = [end for queue in shared for end in ladder_ends_of_celery(self.declared.leads_to(queue))]
        return Outgoing(carried, exchange, key, (*self._ladder, *needs, *ends), mandatory)
