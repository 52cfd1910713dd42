from __future__ import annotations

import amqp as driver
import pytest

from celeriac import Celery
from celeriac.brokers.amqp.place import read_place
from celeriac.brokers.amqp.tables import UNREAD
from tests.tables_by_hand import HOSTILE, Raw, nested


@pytest.fixture
def amqp(command, amqp_url):
    """`celeriac -b amqp://… amqp`, and what follows."""

    def run(*args: str):
        return command("-q", "-b", amqp_url, "amqp", *args)

    return run


def test_what_celery_types_does_what_it_does_there(amqp):
    assert amqp("exchange.declare", "logs", "topic", "false", "true").out == "OK\n"
    assert amqp("queue.declare", "errors", "0", "1").out == "queue:errors messages:0 consumers:0\n"
    assert amqp("queue.bind", "errors", "logs", "*.error").out == "OK\n"
    assert amqp("basic.publish", "Zürich burns", "logs", "zurich.error", "true").out == "OK\n"
    assert amqp("basic.publish", "once more", "logs", "bern.error").out == "OK\n"
    assert amqp("queue.declare", "errors", "true").out == "queue:errors messages:2 consumers:0\n"

    looked = amqp("basic.get", "errors").document
    assert looked["body"] == "Zürich burns"
    assert looked["properties"]["content_type"] == "text/plain"
    assert looked["delivery_info"]["exchange"] == "logs"
    assert looked["delivery_info"]["routing_key"] == "zurich.error"
    taken = amqp("basic.get", "errors", "true").document
    assert taken["body"] == "Zürich burns", "it was only looked at before"
    assert amqp("queue.purge", "errors").out == "1 message deleted.\n"

    empty = amqp("basic.get", "errors")
    assert (empty.code, empty.out) == (1, "")
    assert amqp("queue.delete", "errors", "--json").document == {"queue": "errors", "deleted": 0}
    assert amqp("exchange.delete", "logs", "true", "--json").document == {"done": True, "exchange": "logs"}


def test_messages_of_tasks_can_be_looked_at(amqp, amqp_url):
    app = Celery("shop", broker=amqp_url, set_as_current=False)
    called = app.send_task("shop.pay", (1,))
    app.close()

    found = amqp("basic.get", "celery").document

    assert found["headers"]["id"] == found["properties"]["correlation_id"] == called.id
    assert found["headers"]["task"] == "shop.pay"
    assert found["body"].startswith("[[1]")


TABLES = HOSTILE | {"nested-too-deep-to-show": nested(200)}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_messages_whose_headers_nobody_can_read_are_shown_as_what_they_are(amqp, amqp_url, table):
    amqp("queue.declare", "foreign")
    place = read_place(amqp_url, "broker_url")
    with driver.Connection(
        place.endpoints[0].address, virtual_host=place.virtual_host, confirm_publish=True
    ) as by_hand:
        by_hand.channel().basic_publish(Raw(b"what it says", table, correlation_id="9f1c"), "", "foreign")

    for again in (False, True):
        run = amqp("basic.get", "foreign", str(again))
        assert run.code == 0, run.err
        found = run.document
        assert found["body"] == "what it says"
        assert found["properties"]["correlation_id"] == "9f1c"
        assert found["headers"].keys() == {UNREAD}
        assert found["delivery_info"]["redelivered"] is again
    assert amqp("basic.get", "foreign").code == 1, "it was taken out"


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        (("queue.declare", "nowhere", "true"), "no queue 'nowhere'"),
        (("exchange.declare", "amq.own", "direct"), "reserved prefix"),
        (("basic.publish", "text", "", "nowhere", "true"), "no queue takes message"),
        (("basic.get", "nowhere"), "no queue 'nowhere'"),
        (("queue.bind", "nowhere", "amq.topic", "#"), "no queue 'nowhere'"),
    ],
)
def test_what_the_server_refuses_is_told(amqp, typed, why):
    run = amqp(*typed)

    assert run.code == 1
    assert why in run.err
    assert run.out == ""


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        (("basic.ack", "1"), "basic.get QUEUE true"),
        (("repl",), "each command by itself"),
        (("basic.publish", "text", "", "q", "false", "true"), "leave it out"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_alternative(command, typed, instead):
    run = command("-b", "amqp://nowhere", "amqp", *typed)

    assert run.code == 2
    assert instead in run.err


def test_other_brokers_have_commands_of_their_own(command, shop):
    run = command("amqp", "queue.purge", "celery")

    assert run.code == 2
    assert "celeriac purge" in run.err


def test_a_server_that_is_not_there_is_said_to_be(command):
    run = command("-b", "amqp://localhost:1", "amqp", "queue.purge", "celery")

    assert run.code == 69
    assert "localhost:1" in run.err
