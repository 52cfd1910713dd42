"""A virtual host of RabbitMQ as the conformance suites meet it."""

from __future__ import annotations

from typing import Unpack

from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.base import Broker
from celeriac.testing.worlds import BrokerWorld, Limits, Node


class AmqpWorld(BrokerWorld):
    """Be one virtual host."""

    def __init__(self, url: str, **options: object) -> None:
        super().__init__()
        self.place = read_place(url, "broker_url")
        self._options = AmqpOptions(**options)  # type: ignore[arg-type]  # as a test says them

    def make_broker(self, **limits: Unpack[Limits]) -> Broker:
        limits.pop("priority_aging", None)  # the server chooses what it hands out
        return AmqpBroker(self.place, self._options, **limits)  # type: ignore[misc]  # that one is out

    def kill(self, node: Node) -> None:
        """End a node as SIGKILL does; the kernel closes its connection."""
        node.do(node.consumer.close())
        super().kill(node)

    def advance(self, seconds: float) -> None:
        raise NotImplementedError("the time of RabbitMQ cannot be moved")
