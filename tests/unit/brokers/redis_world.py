from __future__ import annotations

import asyncio
from typing import Any, Unpack

import msgspec
import redis

from celeriac.backends.redis.backend import RedisBackend
from celeriac.brokers.base import Consumer
from celeriac.brokers.redis.broker import RedisBroker
from celeriac.brokers.redis.consumer import RedisConsumer
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import BrokerWorld, Limits, Node


class RedisWorld(BrokerWorld):
    """One emptied database. Time is the server's, ahead by what the tests let pass.

    Args:
        results_in: number of the database in which results are kept, if another one.
    """

    def __init__(self, url: str, *, results_in: int | None = None, **options: Any) -> None:
        super().__init__()
        self.url = url
        self._results_in = results_in
        reading = read_options(read_place(url, "broker_url"), options, setting="broker_transport_options")
        self.place, self.options = reading.place, reading.options
        self.clock = ManualClock()
        self.ahead = 0.0

    def make_broker(self, **limits: Unpack[Limits]) -> RedisBroker:
        return RedisBroker(self.place, self.options, clock=self.clock, ahead=self.lead, **limits)

    def results(self) -> RedisBackend:
        place = self.place
        if self._results_in is not None:
            place = msgspec.structs.replace(place, database=self._results_in)
        return RedisBackend(place, self.options)

    def lead(self) -> float:
        """Return the seconds by which the server's clock is taken to be ahead."""
        return self.ahead

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.ahead += seconds

    def kill(self, node: Node) -> None:
        """End a node as SIGKILL does; the kernel closes its connections."""
        node.do(_drop(node.consumer))
        super().kill(node)

    def client(self) -> redis.Redis:
        """Look into the database as anybody could."""
        return redis.Redis.from_url(self.url)


async def _drop(consumer: Consumer) -> None:
    assert isinstance(consumer, RedisConsumer)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await consumer.abandon()
