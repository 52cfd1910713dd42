"""A virtual host of RabbitMQ as the conformance suites meet it."""

from __future__ import annotations

import time
from typing import Unpack

from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.base import Broker
from celeriac.testing.worlds import BrokerWorld, Limits, Node


class ClockAhead:
    """Go as the clocks of the machine do, as far ahead of them as a test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return time.time() + self.seconds

    def monotonic(self) -> float:
        return time.monotonic() + self.seconds


class AmqpWorld(BrokerWorld):
    """Be one virtual host."""

    def __init__(self, url: str, **options: object) -> None:
        super().__init__()
        self.place = read_place(url, "broker_url")
        self._clock = ClockAhead()
        self._options = AmqpOptions(**options)  # type: ignore[arg-type]  # as a test says them

    def make_broker(self, **limits: Unpack[Limits]) -> Broker:
        limits.pop("priority_aging", None)  # the server chooses what it hands out
        return AmqpBroker(self.place, self._options, clock=self._clock, **limits)  # type: ignore[misc]  # that one is out

    def kill(self, node: Node) -> None:
        """End a node as SIGKILL does; the kernel closes its connection."""
        node.do(node.consumer.close())
        super().kill(node)

    def advance(self, seconds: float) -> None:
        """Let time pass for brokers and nodes. The server has no clock that tests could move."""
        self._clock.seconds += seconds
