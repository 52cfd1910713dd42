"""What Celery declares and publishes on RabbitMQ is what we declare and publish, and the other way round."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from celeriac.brokers.amqp.carried import Carried, carry, read_carried
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.routes import Routes
from celeriac.brokers.amqp.topology import DELIVERY, Binding, Exchange, Queue, ladder, without_ladder
from celeriac.brokers.topics import Topic
from celeriac.brokers.topology import Exchange as TaskExchange
from celeriac.brokers.topology import Queue as TaskQueue
from celeriac.message import Route
from celeriac.wire.protocol import TaskRequest, read_request
from celeriac.wire.times import parse_certain_iso
from tests.golden import vector

CHORD = [name for name in vector.names("amqp-task-chord") if "amqp" in vector.load(name)]
PLAIN = ("amqp-task-basic", "amqp-task-options", "amqp-delayed-task", "amqp-delayed-task-delivered", *CHORD)
MESSAGES = (*PLAIN[:3], *CHORD, "amqp-task-pickle", "amqp-task-compressed")
NODE = ("node-amqp-task-v1", "node-amqp-task-v2")


def captured(name: str) -> Carried:
    found = vector.load(name)["amqp"]
    return Carried(found["headers"], found["properties"], base64.b64decode(found["body_base64"]))


@pytest.mark.parametrize("name", MESSAGES)
def test_a_captured_message_that_we_publish_again_is_the_same(name: str) -> None:
    given = captured(name)

    again = carry(read_carried(given, queue="celery"))

    assert again.headers == given.headers
    assert list(again.headers) == list(given.headers), "in Celery's order"
    assert again.properties == given.properties
    assert again.body == given.body


@pytest.mark.parametrize("name", [*PLAIN, "node-amqp-task-v2"])
def test_a_captured_message_asks_for_what_the_call_said(name: str) -> None:
    given, (args, kwargs, embed) = captured(name), vector.load(name)["decoded"]["body"]

    request = read_request(read_carried(given, queue="celery"))

    assert (request.id, request.task) == (given.headers["id"], given.headers["task"])
    assert (request.args, request.kwargs) == (args, kwargs)
    assert request.chord == embed.get("chord")
    known = {name: getattr(request, name) for name in given.headers if name in TaskRequest.__struct_fields__}
    noted = ("x-death", "x-first-death-", "x-last-death-")  # by RabbitMQ
    said = {name: value for name, value in given.headers.items() if not name.startswith(noted)}
    assert json.loads(json.dumps(known)) | request.headers == said


def test_a_call_of_celery_node_in_protocol_1_is_read() -> None:
    given, body = captured("node-amqp-task-v1"), vector.load("node-amqp-task-v1")["decoded"]["body"]

    message = read_carried(given, queue="celery")
    request = read_request(message)

    assert message.task_id == request.id == body["id"]
    assert (request.task, request.args, request.kwargs) == (body["task"], body["args"], body["kwargs"])


@pytest.mark.parametrize("name", NODE)
def test_what_celery_node_sends_is_published_again_as_it_came(name: str) -> None:
    given = captured(name)

    again = carry(read_carried(given, queue="celery"))

    assert (again.headers, again.body) == (given.headers, given.body)
    assert again.properties == given.properties | {"priority": 0}


def test_what_rabbitmq_has_noted_is_left_out_when_a_message_is_published_again() -> None:
    given = captured("amqp-delayed-task-delivered")

    again = carry(read_carried(given, queue="celery"))

    assert "x-death" in given.headers
    assert again.headers == {name: value for name, value in given.headers.items() if not name.startswith("x-")}


QUORUM_BEHIND_TOPICS = TaskQueue(
    "celery", TaskExchange("celery", "topic"), "celery", queue_arguments={"x-queue-type": "quorum"}
)


def test_a_delayed_message_goes_up_the_ladder_as_celerys_does() -> None:
    given = vector.load("amqp-delayed-task")["amqp"]
    message = read_carried(captured("amqp-delayed-task"), queue="celery")
    eta_at = parse_certain_iso(given["headers"]["eta"])
    assert message.eta_at == eta_at is not None
    routes = Routes(AmqpOptions())
    routes.declare([QUORUM_BEHIND_TOPICS])
    routed = msgspec.structs.replace(message, route=Route(exchange="celery", routing_key="celery", kind="topic"))

    outgoing = routes.outgoing(routed, now=eta_at - 5.2)

    assert (outgoing.exchange, outgoing.key) == (given["exchange"], given["routing_key"])
    assert without_ladder(outgoing.key) == "celery"


def test_what_celery_has_delayed_comes_down_into_our_queue() -> None:
    routes = Routes(AmqpOptions())
    routes.declare([QUORUM_BEHIND_TOPICS])
    key = vector.load("amqp-delayed-task")["amqp"]["routing_key"]

    ends = [need for need in routes.needs_of_delays("celery") if isinstance(need, Binding) and need.target == "celery"]

    assert [end.key for end in ends if end.source == DELIVERY and Topic(DELIVERY, end.key).includes(DELIVERY, key)]


def test_a_delayed_message_for_one_queue_follows_none_of_celerys_bindings() -> None:
    topology = vector.load("amqp-topology-delayed-delivery")["bindings"]
    theirs = [one["routing_key"] for one in topology if one["source"] == DELIVERY]
    message = read_carried(captured("amqp-task-basic"), queue="celery")

    outgoing = Routes(AmqpOptions()).outgoing(message, now=0.0, due_at=10.0)

    assert theirs == ["#.celery"]
    assert not any(Topic(DELIVERY, key).includes(DELIVERY, outgoing.key) for key in theirs)
    ends = [need for need in outgoing.needs if isinstance(need, Binding) and need.source == DELIVERY]
    assert [end.target for end in ends if Topic(DELIVERY, end.key).includes(DELIVERY, outgoing.key)] == ["celery"]


def test_the_ladder_is_the_one_that_celery_declares() -> None:
    found = vector.load("amqp-topology-delayed-delivery")
    declared = list(ladder())

    assert {one.name: one.type for one in declared if isinstance(one, Exchange)} == {
        one["name"]: one["type"] for one in found["exchanges"] if one["name"].startswith("celery_delayed_")
    }
    assert {one.name: dict(one.arguments) for one in declared if isinstance(one, Queue)} == {
        one["name"]: one["arguments"] for one in found["queues"] if one["name"].startswith("celery_delayed_")
    }
    bindings: set[tuple[Any, ...]] = {
        (one["source"], one["destination"], one["routing_key"], one["destination_type"] == "exchange")
        for one in found["bindings"]
        if one["source"].startswith("celery_delayed_") and one["source"] != "celery_delayed_delivery"
    }
    assert {(one.source, one.target, one.key, one.to_exchange) for one in declared if isinstance(one, Binding)} == (
        bindings
    )
