from __future__ import annotations

import itertools
import time

import pytest

from celeriac.brokers.memory.bus import MemoryBus, room_named
from celeriac.brokers.topics import Topic
from celeriac.testing.buses import CONTROL, REPLIES, BusConformance, BusWorld, a_command, soon
from celeriac.testing.clock import ManualClock

numbers = itertools.count(1)


class MemoryBuses(BusWorld):
    """One room under a name of its own, and a clock for everybody in it."""

    def __init__(self):
        super().__init__()
        self.name = f"buses-{next(numbers)}"
        self.clock = ManualClock()

    def make_bus(self):
        return MemoryBus(self.name, clock=self.clock)

    def leftovers(self):
        return len(room_named(self.name).inboxes)

    def outlast(self, seconds):
        self.clock.advance(seconds)


@pytest.fixture
def world():
    world = MemoryBuses()
    yield world
    world.end()


class TestMemoryBus(BusConformance):
    @pytest.fixture
    def world(self, world):
        return world


def test_buses_of_one_name_reach_each_other_and_others_do_not(world):
    ear = world.operator().subscribe(Topic(CONTROL))

    MemoryBus(f"{world.name}-other").broadcast([a_command("other")], deadline_at=soon())
    MemoryBus(world.name).broadcast([a_command()], deadline_at=soon())

    assert ear.hear() == [a_command()]


def test_setting_the_wall_clock_expires_no_inbox(world):
    with world.bus().inbox(REPLIES, deadline_at=soon()) as inbox:
        world.clock.jump(86_400.0)
        world.bus().inbox(REPLIES, deadline_at=time.monotonic()).close()

        assert world.leftovers() == 1
        assert inbox.collect(deadline_at=time.monotonic()) == []
