from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from celeriac.brokers.memory.broker import MemoryBroker
from celeriac.exceptions import BrokerUnavailable
from celeriac.worker import waiting
from celeriac.worker.waiting import Patience, open_consumer

AWAY = BrokerUnavailable("it does not answer")


class Registering:
    """Be a consumer that fails to register a number of times."""

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self.attempts = 0

    async def open(self) -> None:
        self.attempts += 1
        if self.attempts <= self._failures:
            raise AWAY


@pytest.fixture
def broker(monkeypatch) -> MemoryBroker:
    """Give a broker with a server, which is asked again after no time."""
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 0.0)
    answered_for = msgspec.structs.replace(MemoryBroker.capabilities, has_server=True)
    monkeypatch.setattr(MemoryBroker, "capabilities", answered_for)
    return MemoryBroker("waiting")


async def opened(failures: int, broker: Any, *, attempts: int | None = None, stop: asyncio.Event | None = None):
    consumer = Registering(failures)
    found = await open_consumer(cast("Any", consumer), broker, Patience(attempts), stop or asyncio.Event())
    return found, consumer.attempts


async def test_a_node_tries_to_register_until_it_can(broker):
    assert await opened(3, broker) == (True, 4)


async def test_it_gives_up_after_as_many_attempts_as_were_said(broker):
    with pytest.raises(BrokerUnavailable):
        await opened(3, broker, attempts=2)


async def test_a_broker_without_a_server_is_not_waited_for():
    with pytest.raises(BrokerUnavailable):
        await opened(1, MemoryBroker("waiting"))


async def test_a_node_that_is_told_to_stop_waits_no_longer(broker, monkeypatch):
    monkeypatch.setattr(waiting, "_FIRST_WAIT", 3600.0)
    monkeypatch.setattr(waiting, "_LONGEST_WAIT", 3600.0)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)

    assert await opened(10, broker, stop=stop) == (False, 1)
