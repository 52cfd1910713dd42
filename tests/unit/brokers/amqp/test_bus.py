from __future__ import annotations

import json

import msgspec
import pytest

from celeriac.brokers.amqp.broker import AmqpBroker
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.topics import Topic
from celeriac.testing.buses import CONTROL, BusConformance, BusWorld, soon
from celeriac.wire.notices import Notice


class RabbitBuses(BusWorld):
    """One virtual host."""

    def __init__(self, url, server):
        super().__init__()
        self._place = read_place(url, "broker_url")
        self._server = server

    def make_bus(self):
        return AmqpBroker(self._place).bus()

    def leftovers(self):
        said = self._server.ctl("list_queues", "-q", "-p", self._place.virtual_host, "name", "--no-table-headers")
        return len([name for name in said.split() if ".reply." in name])


OTHERWISE_HERE = {
    "test_a_listener_hears_what_is_said_byte_for_byte": "headers are a table, whose JSON is written anew",
    "test_what_a_dead_asker_leaves_expires": "an inbox lives as long as the connection of its asker",
}
"""What is otherwise on RabbitMQ, and why."""


class TestRabbitBus(BusConformance):
    @pytest.fixture
    def world(self, amqp_url, rabbitmq):
        world = RabbitBuses(amqp_url, rabbitmq.server)
        yield world
        world.end()

    def test_what_is_said_is_heard_whole(self, bus, operator):
        ear = operator.subscribe(Topic(CONTROL))
        headers = {"clock": 1, "name": "\u00fc", "none": None, "deep": [{"a": 1.5}]}
        said = {"routing_key": "w1.\u00fc", "content_type": "application/x-msgpack", "content_encoding": "binary"}
        notice = Notice(
            exchange=CONTROL, body=b"\x00\xff", headers=json.dumps(headers).encode(), persistent=True, **said
        )

        bus.broadcast([notice], deadline_at=soon())

        [heard] = ear.hear()
        assert json.loads(heard.headers) == headers
        assert msgspec.structs.replace(heard, headers=notice.headers) == notice


for name in OTHERWISE_HERE:
    assert hasattr(TestRabbitBus, name), name
    setattr(TestRabbitBus, name, None)
