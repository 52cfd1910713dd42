"""The master is killed: who listens and who speaks over the bus follow the sentinels to the new one."""

from __future__ import annotations

import time

import pytest

from celeriac.brokers.redis.bus import RedisBus
from celeriac.brokers.redis.options import read_options
from celeriac.brokers.redis.place import read_place
from celeriac.brokers.topics import Topic
from celeriac.exceptions import BrokerUnavailable
from celeriac.testing.buses import CONTROL, REPLIES, Operator, a_command, an_answer, collect, soon
from celeriac.wire.notices import Notice
from tests.servers.sentinel import MASTER_NAME
from tests.size import late_after

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(300)]

RESUMES_WITHIN = late_after(5.0)
"""Seconds after there is a new master; five are what is promised."""


@pytest.fixture
def bus(sentinels):
    # Each notice is said on two channels then, and must be heard once.
    said = {"master_name": MASTER_NAME, "sentinel_fanout_compat": True}
    reading = read_options(read_place(sentinels.url(3), "broker_url"), said, setting="broker_transport_options")
    bus = RedisBus(reading.place, reading.options)
    yield bus
    bus.close()


def test_the_bus_goes_over_to_the_new_master(sentinels, bus):
    operator = Operator(bus)
    ear = operator.subscribe(Topic(CONTROL))
    bus.broadcast([a_command("1")], deadline_at=soon())
    operator.broadcast(a_command("2"))
    assert ear.hear(2) + ear.rest() == [a_command("1"), a_command("2")]

    sentinels.master.kill()
    sentinels.wait_for_failover()
    promoted_at = time.monotonic()

    heard: list[Notice] = []
    while not heard and time.monotonic() < promoted_at + RESUMES_WITHIN:
        say(bus, operator)
        heard = operator.do(ear.subscription.hear(timeout=0.1))
    assert heard[0] == a_command("again")
    assert ear.subscription.gaps == 1
    with bus.inbox(REPLIES, deadline_at=soon()) as inbox:
        operator.reply(an_answer(inbox))
        assert collect(inbox, 1) == [an_answer(inbox)]
    operator.stop()


def say(bus, operator):
    """Say something by either way; while there is no master, that is not possible."""
    for call in (
        lambda: bus.broadcast([a_command("again")], deadline_at=time.monotonic() + 1),
        lambda: operator.do(operator.station.broadcast([a_command("again")], deadline_at=time.monotonic() + 1)),
    ):
        try:
            call()
        except BrokerUnavailable:
            continue
