from __future__ import annotations

import pytest

from celeriac.brokers.amqp.checkup import QueueFacts, checkup_of_queue, checkup_of_server
from celeriac.brokers.amqp.management import alarms_of, concerns_of
from celeriac.brokers.amqp.topology import Exchange, Queue

TOLD = {"product": "RabbitMQ", "version": "3.10.8", "platform": "Erlang/OTP 25"}


def test_a_server_is_described_and_how_to_see_its_timeout_is_said():
    checkup = checkup_of_server(TOLD, None, "h:5672")

    assert checkup.described.startswith("RabbitMQ 3.10.8, Erlang/OTP 25; ")
    assert "rabbitmqctl eval" in checkup.described
    assert checkup.concerns == ()


@pytest.mark.parametrize(
    ("told", "blocked", "text"),
    [
        (TOLD | {"version": "3.9.27"}, None, "older than 3.10"),
        (TOLD, "low on memory", "no messages now: low on memory"),
    ],
)
def test_what_is_wrong_with_a_server_is_named(told, blocked, text):
    [concern] = checkup_of_server(told, blocked, "h:5672").concerns

    assert text in concern.found


def test_servers_of_other_makes_are_not_told_to_upgrade():
    assert checkup_of_server({"product": "LavinMQ", "version": "1.2"}, None, "h").concerns == ()


def test_a_queue_is_shown_with_its_type_and_arguments():
    queue = Queue(name="q", arguments=(("x-max-priority", 9), ("x-queue-type", "quorum")))

    assert checkup_of_queue(QueueFacts(declared=queue, is_there=True, ready=1200, consumers=2)).described == (
        "q: quorum, durable, x-max-priority = 9; 1,200 ready, 2 consumers"
    )
    assert "not there yet" in checkup_of_queue(QueueFacts(declared=queue, is_there=False)).described


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (QueueFacts(declared=Queue(name="q", durable=False), is_there=True), "q is transient"),
        (QueueFacts(declared=Queue(name="q"), is_there=True, transient=True), "delivery_mode 1"),
        (QueueFacts(declared=Queue(name="q"), is_there=True, otherwise="it has x = 1"), "not as it is declared"),
        (
            QueueFacts(declared=Queue(name="q"), is_there=True, exchanges=(Exchange(name="e", durable=False),)),
            "exchange e is transient",
        ),
    ],
)
def test_what_is_wrong_with_a_queue_is_named(facts, text):
    [concern] = checkup_of_queue(facts).concerns

    assert text in concern.found


def test_a_queue_of_one_connection_may_end_with_it():
    queue = Queue(name="q", durable=False, auto_delete=True)

    assert checkup_of_queue(QueueFacts(declared=queue, is_there=True)).concerns == ()


def test_what_only_the_plugin_tells_is_judged():
    nodes = [{"name": "a", "mem_alarm": True, "disk_free_alarm": False}, {"name": "b", "mem_alarm": False}]
    queues = [
        {"name": "mirrored", "durable": True, "effective_policy_definition": {"ha-mode": "all"}},
        {"name": "transient", "durable": False, "exclusive": False, "auto_delete": False},
        {"name": "of-a-node", "durable": False, "auto_delete": True, "effective_policy_definition": []},
        {"name": "fine", "durable": True, "effective_policy_definition": {"max-length": 3}},
    ]

    assert [one.found.split(":")[0] for one in alarms_of(nodes)] == ["node a is short of memory"]
    assert [one.found.split(" ")[1] for one in concerns_of(queues)] == ["mirrored", "transient"]
