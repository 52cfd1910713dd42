"""Commands, answers and events over RabbitMQ: Celery's are read rightly, and what we say goes out as theirs does."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from celeriac.brokers.amqp.bus import exchange_of, outgoing, read_notice
from celeriac.brokers.amqp.carried import Carried
from celeriac.brokers.amqp.topology import Exchange
from celeriac.wire.control import read_answer, read_command, write_answer, write_command
from celeriac.wire.events import made, notice_of, read_events
from celeriac.wire.notices import Notice
from tests.golden import vector

COMMANDS = ("control-inspect-active-queues#0", "control-inspect-stats#0", "control-ping#0", "control-revoke")
ANSWERS = ("control-inspect-active-queues", "control-inspect-stats", "control-ping")
EVENTS = ["event-task-sent", *(name.removeprefix("amqp-") for name in vector.names("amqp-events"))]


def captured(name: str) -> dict[str, Any]:
    found: dict[str, Any] = vector.load(f"amqp-{name}")["amqp"]
    return found


def heard(name: str) -> Notice:
    """Return what a vector says, as our bus hears it."""
    found = captured(name)
    carried = Carried(found["headers"], found["properties"], base64.b64decode(found["body_base64"]))
    return read_notice(carried, found["exchange"], found["routing_key"])


@pytest.mark.parametrize("name", [*COMMANDS, *(f"{name}#1" for name in ANSWERS), *EVENTS])
def test_what_is_heard_goes_out_again_as_it_came(name: str) -> None:
    given = captured(name)

    again = outgoing(heard(name))

    assert (again.exchange, again.key, again.mandatory) == (given["exchange"], given["routing_key"], False)
    assert again.carried.headers == given["headers"]
    assert again.carried.properties == given["properties"]
    assert again.carried.body == base64.b64decode(given["body_base64"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_read_and_written(name: str) -> None:
    said = vector.load(f"amqp-{name}")["decoded"]["body"]
    command = read_command(heard(name))

    again = outgoing(write_command(command, exchange="celery.pidbox", expires_at=1.0))

    assert (command.method, command.arguments, command.ticket) == (
        said["method"],
        said["arguments"],
        said.get("ticket"),
    )
    assert again.carried.body == base64.b64decode(captured(name)["body_base64"])
    assert again.carried.properties == captured(name)["properties"]
    assert again.carried.headers.keys() == captured(name)["headers"].keys()
    assert type(again.carried.headers["expires"]) is float, "a double on the wire, as Celery's is"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_and_written(name: str) -> None:
    command, given = read_command(heard(f"{name}#0")), captured(f"{name}#1")
    said = vector.load(f"amqp-{name}#1")["decoded"]["body"]
    assert command.ticket is not None
    [(node, value)] = said.items()

    answer = write_answer(command, node, value)

    assert read_answer(heard(f"{name}#1"), command.ticket) == said
    assert answer is not None
    again = outgoing(answer)
    assert (again.exchange, again.key) == (given["exchange"], given["routing_key"])
    assert (again.carried.body, again.carried.properties) == (
        base64.b64decode(given["body_base64"]),
        given["properties"],
    )


@pytest.mark.parametrize("name", EVENTS)
def test_events_of_celery_are_read(name: str) -> None:
    body = vector.load(f"amqp-{name}")["decoded"]["body"]

    events, faults = read_events(heard(name))

    assert events == (body if isinstance(body, list) else [body])
    assert faults == []


@pytest.mark.parametrize("name", [name for name in EVENTS if isinstance(json.loads(heard(name).body), dict)])
def test_a_single_event_of_ours_goes_out_as_theirs(name: str) -> None:
    given, said = captured(name), json.loads(heard(name).body)
    common = ("hostname", "utcoffset", "pid", "clock")
    own = {field: value for field, value in said.items() if field not in (*common, "timestamp", "type")}
    event = made(said["type"], own, at=said["timestamp"], **{field: said[field] for field in common})

    again = outgoing(notice_of(event, exchange="celeryev", hostname=said["hostname"]))

    assert (again.exchange, again.key) == (given["exchange"], given["routing_key"])
    assert again.carried == Carried(given["headers"], given["properties"], base64.b64decode(given["body_base64"]))


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("celery.pidbox", Exchange(name="celery.pidbox", type="fanout", durable=False)),
        ("reply.celery.pidbox", Exchange(name="reply.celery.pidbox", type="direct", durable=False)),
        ("celeryev", Exchange(name="celeryev", type="topic", durable=True)),
    ],
)
def test_the_exchanges_of_the_bus_are_declared_as_celery_declares_them(name: str, declared: Exchange) -> None:
    topology = {one["name"]: one for one in vector.load("amqp-topology-delayed-delivery")["exchanges"]}

    assert exchange_of(name) == declared
    assert (topology[name]["type"], topology[name]["durable"]) == (declared.type, declared.durable)
