"""What anybody has put into the stream of what is revoked."""

from __future__ import annotations

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
