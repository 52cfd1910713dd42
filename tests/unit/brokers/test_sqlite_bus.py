from __future__ import annotations

import sqlite3
import stat
import time

import pytest

from celeriac.brokers.sqlite.bus import SqliteBus
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable, ImproperlyConfigured
from celeriac.testing.buses import (
    CONTROL,
    EVENTS,
    REPLIES,
    BusConformance,
    BusWorld,
    a_command,
    an_answer,
    an_event,
    soon,
)
from celeriac.testing.clock import ManualClock


class SqliteBuses(BusWorld):
    """One file, and a clock for everybody who uses it."""

    def __init__(self, folder):
        super().__init__()
        self.path = folder / "celeriac.sqlite3"
        self.clock = ManualClock()

    @property
    def bus_path(self):
        return self.path.with_name("celeriac.sqlite3-bus")

    def make_bus(self):
        return SqliteBus(self.path, clock=self.clock)

    def leftovers(self):
        return self.count("inbox") + self.count("reply")

    def count(self, table):
        connection = sqlite3.connect(self.bus_path)
        try:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        finally:
            connection.close()

    def outlast(self, seconds):
        self.clock.advance(seconds)


@pytest.fixture
def world(tmp_path):
    world = SqliteBuses(tmp_path)
    yield world
    world.end()


class TestSqliteBus(BusConformance):
    @pytest.fixture
    def world(self, world):
        return world


def test_the_database_of_the_broker_is_left_alone(world):
    world.path.touch(mode=0o640)
    world.bus().broadcast([an_event()], deadline_at=soon())
    with world.bus().inbox(REPLIES, deadline_at=soon()) as inbox:
        world.bus().reply([an_answer(inbox)], deadline_at=soon())

    assert world.path.stat().st_size == 0


def test_others_get_the_access_that_they_have_to_the_database(world):
    world.path.touch()
    world.path.chmod(0o660)

    world.bus().broadcast([an_event()], deadline_at=soon())

    assert stat.S_IMODE(world.bus_path.stat().st_mode) == 0o660


def test_what_is_old_is_forgotten(world):
    bus = world.bus()
    bus.broadcast([an_event(number=number) for number in range(100)], deadline_at=soon())
    world.clock.advance(59)
    bus.broadcast([an_event()], deadline_at=soon())
    assert world.count("notice") == 101

    world.clock.advance(2)
    bus.broadcast([an_event()], deadline_at=soon())

    assert world.count("notice") == 2


def test_of_many_notices_the_newest_ten_thousand_are_kept(world):
    bus = world.bus()
    for _ in range(4):
        bus.broadcast([an_event()] * 3000, deadline_at=soon())

    assert world.count("notice") == 10_000


def test_of_large_notices_those_of_64_mib_are_kept(world):
    bus = world.bus()
    large = a_command("x" * (8 * 1024 * 1024 - 200))
    for _ in range(10):
        bus.broadcast([large], deadline_at=soon())

    assert world.count("notice") == 8


def test_a_listener_that_was_overtaken_counts_what_it_missed(world):
    bus, operator = world.bus(), world.operator()
    ear = operator.subscribe(Topic(EVENTS))
    blocked = operator.start(block(1.0))

    for _ in range(4):
        bus.broadcast([an_event()] * 3000, deadline_at=soon())

    blocked.result()
    assert len(ear.hear(10_000)) == 10_000
    assert ear.subscription.dropped == 2000


async def block(seconds):
    time.sleep(seconds)


def test_a_listener_follows_when_the_file_is_replaced(world):
    bus, operator = world.bus(), world.operator()
    ear = operator.subscribe(Topic(CONTROL))
    bus.broadcast([a_command("before")], deadline_at=soon())
    ear.hear()

    for suffix in ("", "-wal", "-shm"):
        world.bus_path.with_name(world.bus_path.name + suffix).unlink()
    bus.close()
    bus.broadcast([a_command("after")], deadline_at=soon())

    assert ear.hear() == [a_command("after")]
    assert ear.subscription.gaps == 1


def test_a_file_of_a_newer_version_is_refused(world):
    connection = sqlite3.connect(world.bus_path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(ImproperlyConfigured, match="newer celeriac"):
        world.bus().broadcast([a_command()], deadline_at=soon())


def test_a_writer_that_hangs_is_waited_for_until_the_deadline(world):
    bus = world.bus()
    bus.broadcast([a_command()], deadline_at=soon())
    holder = sqlite3.connect(world.bus_path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    began_at = time.monotonic()

    with pytest.raises(BrokerUnavailable):
        bus.broadcast([a_command()], deadline_at=began_at + 0.3)
    operator = world.operator(bus)
    with pytest.raises(BrokerUnavailable):
        operator.do(operator.station.broadcast([a_command()], deadline_at=time.monotonic() + 0.3))

    assert time.monotonic() - began_at < 5
    holder.close()
