from __future__ import annotations

import asyncio
import time

import pytest

from celeriac.exceptions import BrokerUnavailable
from celeriac.worker import watchdog
from celeriac.worker.watchdog import Watchdog


class Road:
    """The way to a broker, as a watchdog sees it; claims on it can hang."""

    def __init__(self) -> None:
        self.idle = True
        self.hangs = True
        self.completed_at = time.monotonic()
        self.rebuilt = 0
        self.rebuilding_cures = False
        self.rebuilding_fails: Exception | None = None
        self.looked = asyncio.Event()
        self.given_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def is_idle(self) -> bool:
        self.looked.set()
        return self.idle

    def answered_at(self) -> float:
        return self.completed_at if self.hangs else time.monotonic()

    async def rebuild(self) -> None:
        self.rebuilt += 1
        if self.rebuilding_fails is not None:
            raise self.rebuilding_fails
        self.hangs = not self.rebuilding_cures

    def give_up(self, reason: str) -> None:
        self.given_up.set_result(reason)

    async def looks(self, count: int) -> None:
        for _ in range(count):
            self.looked.clear()
            await asyncio.wait_for(self.looked.wait(), 60)


@pytest.fixture
async def road(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(watchdog, "STALLED_AFTER", 0.05)
    monkeypatch.setattr(watchdog, "_LOOK_EVERY", 0.01)
    return Road()


@pytest.fixture
async def watching(road: Road):
    dog = Watchdog(is_idle=road.is_idle, completed_at=road.answered_at, rebuild=road.rebuild, give_up=road.give_up)
    dog.start()
    yield dog
    await dog.stop()


async def test_a_claim_that_hangs_while_slots_idle_is_cured_by_connecting_anew(road: Road, watching: Watchdog):
    road.rebuilding_cures = True
    while not road.rebuilt:
        await road.looks(1)

    await road.looks(20)

    assert road.rebuilt == 1
    assert not road.given_up.done()


async def test_a_node_that_connecting_anew_does_not_cure_ends(road: Road, watching: Watchdog):
    reason = await asyncio.wait_for(road.given_up, 60)

    assert road.rebuilt == 1
    assert "also after connecting anew" in reason


async def test_a_node_that_cannot_connect_anew_ends_and_says_why(road: Road, watching: Watchdog):
    road.rebuilding_fails = OSError("no such road")

    assert "no such road" in await asyncio.wait_for(road.given_up, 60)


async def test_a_node_whose_broker_is_away_goes_on_as_long_as_its_claims_say_so(road: Road, watching: Watchdog):
    road.rebuilding_fails = BrokerUnavailable("no answer")
    while not road.rebuilt:
        await road.looks(1)
    road.hangs = False  # each claim is answered with an error

    await road.looks(20)

    assert not road.given_up.done()


async def test_a_node_whose_slots_are_all_busy_is_healthy(road: Road, watching: Watchdog):
    road.idle = False

    await road.looks(20)

    assert road.rebuilt == 0


async def test_a_node_whose_claims_are_answered_with_nothing_is_healthy(road: Road, watching: Watchdog):
    road.hangs = False

    await road.looks(20)

    assert road.rebuilt == 0


async def test_a_watchdog_may_be_stopped_twice_and_before_its_start(road: Road):
    dog = Watchdog(is_idle=road.is_idle, completed_at=road.answered_at, rebuild=road.rebuild, give_up=road.give_up)

    await dog.stop()
    dog.start()
    await dog.stop()
    await dog.stop()
