"""What anybody has put into the stream of what is revoked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest

from celeriac.brokers.amqp.topology import REVOCATIONS
from celeriac.testing.brokers.revocations import revocation, revoke
from tests.tables_by_hand import HOSTILE, Raw, nested, text
from tests.unit.brokers.amqp_world import AmqpWorld

FOREIGN = {
    **HOSTILE,
    "nested-deep": nested(200),
    "an-offset-of-its-own": text(b"x-stream-offset", b"soon"),
    "no-text": text(b"x", b"\xff\xfe"),
}


@pytest.fixture
def world(amqp_url):
    world = AmqpWorld(amqp_url)
    yield world
    world.end()


def test_what_nobody_can_read_there_hides_nothing(world):
    broker = world.broker()
    node = world.node(broker)
    place = world.place
    revoke(broker, revocation(node, "before"))
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host, confirm_publish=True) as driver:
        channel = driver.channel()
        for table in FOREIGN.values():
            for body in (b"{}", b'{"x":' + b"[" * 50_000):
                channel.basic_publish(Raw(body, table), "", REVOCATIONS)
    revoke(broker, revocation(node, "after"))

    for one in (broker, world.broker()):
        assert [each.task_id for each in one.revocations().revocations] == ["before", "after"]
        assert one.revoked(["before", "after"]).keys() == {"before", "after"}
    assert world.node(name="w2@host").look().revocations == broker.revocations().version


def deleted(world, queue):
    """Delete a queue as somebody else does."""
    place = world.place
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as driver:
        driver.channel().queue_delete(queue)


def test_a_stream_in_the_place_of_another_is_read_from_its_beginning_however_far_it_has_come(world):
    broker, other = world.broker(), world.broker()
    node = world.node(broker)
    revoke(broker, revocation(node, "before"))
    assert [one.task_id for one in broker.revocations().revocations] == ["before"]
    deleted(world, REVOCATIONS)

    revoke(other, revocation(node, "first"))
    for _ in range(10):
        other.revocations()  # each look is an entry, too

    assert broker.revoked(["before", "first"]).keys() == {"before", "first"}
    version = broker.revocations().version
    revoke(other, revocation(node, "second"))
    assert [one.task_id for one in broker.revocations(version).revocations] == ["second"]


def test_a_stream_in_the_place_of_another_is_noticed_although_others_go_on_writing(world):
    broker, other = world.broker(), world.broker()
    node = world.node(broker)
    for _ in range(6):
        broker.revocations()
    deleted(world, REVOCATIONS)
    revoke(other, revocation(node, "first"))
    is_enough = threading.Event()

    def go_on() -> None:
        while not is_enough.wait(0.1):
            other.revocations()

    with ThreadPoolExecutor(1) as threads:
        going_on = threads.submit(go_on)
        try:
            found = broker.revoked(["first"])
        finally:
            is_enough.set()
        going_on.result()

    assert found.keys() == {"first"}
