"""Where messages go on RabbitMQ, and what must be declared before. Pure."""

from __future__ import annotations

import math
from typing import Final

from celeriac.brokers.amqp.carried import NO_COUNTS, Counts, carry
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.publisher import Outgoing
from celeriac.brokers.amqp.topology import (
    LONGEST_DELAY,
    Declared,
    ladder,
    ladder_end,
    task_queue_parts,
    up_the_ladder,
)
from celeriac.message import Message

HELD_BY_NODES: Final = 2.0
"""Seconds of a delay that the ladder, which counts in whole seconds, leaves to a node."""


class Routes:
    """Know where messages go by what the settings say."""

    def __init__(self, options: AmqpOptions) -> None:
        self._options = options
        self._ladder = tuple(ladder(options.delayed_queue_type))

    def needs_of(self, queue: str) -> tuple[Declared, ...]:
        """Return what must be there before a queue of tasks is used."""
        found = self._options.task_queue(queue)
        return tuple(task_queue_parts(found.queue, found.exchange, found.key))

    def needs_of_delays(self, queue: str) -> tuple[Declared, ...]:
        """Return what must be there before something is delayed on its way to a queue."""
        return (*self._ladder, *self.needs_of(queue), ladder_end(queue))

    def is_quorum(self, queue: str) -> bool:
        """Say whether a queue is declared as a quorum queue."""
        return self._options.task_queue(queue).queue.is_quorum

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
        if seconds < 1:
            return Outgoing(carried, "", message.queue, self.needs_of(message.queue))
        exchange, key = up_the_ladder(min(seconds, LONGEST_DELAY), message.queue)
        return Outgoing(carried, exchange, key, self.needs_of_delays(message.queue))
