"""A queue on RabbitMQ that is otherwise than the settings say: whoever uses it is told what it has, and what to do."""

from __future__ import annotations

from typing import Any

import amqp
import pytest

from celeriac import Celery
from celeriac.brokers.amqp.place import read_place
from celeriac.exceptions import ImproperlyConfigured
from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.engines("rabbitmq"), pytest.mark.timeout(300)]

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "priorities": (
        {"arguments": {"x-max-priority": 9}},
        {},
        r"queue 'celery' on rabbitmq at .+ has x-max-priority = '?9'?, and the settings do not say it; change "
        r"`task_queue_max_priority`, or its `max_priority` in `task_queues`, or delete the queue",
    ),
    "other priorities": (
        {"arguments": {"x-max-priority": 9}},
        {"task_queue_max_priority": 5},
        r"has x-max-priority = '?9'?, and the settings say '?5'?; change `task_queue_max_priority`",
    ),
    "a type": (
        {"arguments": {"x-queue-type": "quorum"}},
        {},
        r"has x-queue-type = 'quorum', and the settings do not say it; change `task_default_queue_type`",
    ),
    "another type": (
        {},
        {"task_default_queue_type": "quorum"},
        r"has x-queue-type = \S+, and the settings say 'quorum'; change `task_default_queue_type`",
    ),
    "a lifetime": (
        {"arguments": {"x-message-ttl": 1000}},
        {},
        r"has x-message-ttl = '?1000'?, and the settings do not say it; change its `message_ttl` in `task_queues`",
    ),
    "durability": (
        {"durable": False},
        {},
        r"has durable = 'false', and the settings say 'true'; change what `task_queues` says of it",
    ),
}


def declare(url: str, name: str, *, durable: bool = True, arguments: dict[str, Any] | None = None) -> None:
    place = read_place(url, "broker_url")
    with amqp.Connection(place.endpoints[0].address, virtual_host=place.virtual_host) as connection:
        connection.channel().queue_declare(name, durable=durable, auto_delete=False, arguments=arguments)


@pytest.mark.parametrize("case", list(CASES))
def test_a_call_says_which_queue_which_argument_and_what_to_do(amqp_url: str, case: str) -> None:
    there, settings, told = CASES[case]
    declare(amqp_url, "celery", **there)
    app = Celery("tasks", broker=amqp_url, set_as_current=False)
    app.conf.update(settings)

    with app, pytest.raises(ImproperlyConfigured, match=told):
        app.send_task("tasks.add", (1, 2))


def test_a_call_says_so_of_exchanges_too(amqp_url: str) -> None:
    with Celery("tasks", broker=amqp_url, set_as_current=False) as first:
        first.send_task("tasks.add", (1, 2))
    app = Celery("tasks", broker=amqp_url, set_as_current=False)
    app.conf.task_default_exchange_type = "topic"

    told = r"exchange 'celery' on rabbitmq at .+ has type = 'direct', and the settings say 'topic'"
    with app, pytest.raises(ImproperlyConfigured, match=told):
        app.send_task("tasks.add", (1, 2))


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_does_not_start_and_says_why(project: Project, amqp_url: str, pool: str) -> None:
    declare(amqp_url, "celery", arguments={"x-max-priority": 9})

    node = project.start("-P", pool, ready=False)

    assert node.wait_exit() == 1
    assert "queue 'celery' on rabbitmq" in node.log
    assert "has x-max-priority = 9" in node.log.replace("'9'", "9")
    assert "change `task_queue_max_priority`" in node.log
    assert "Traceback" not in node.log


def test_a_worker_goes_on_without_the_queue_that_it_is_told_to_consume(project: Project, amqp_url: str) -> None:
    declare(amqp_url, "mail", arguments={"x-max-priority": 9})
    node = project.start()
    told: list[Any] = []

    def answered() -> bool:
        told[:] = project.app.control.add_consumer("mail", reply=True, timeout=2) or []
        return bool(told)

    wait_until(answered, what=node.log_end)

    [answer] = told[0].values()
    assert "queue 'mail' on rabbitmq" in answer["error"]
    assert "x-max-priority" in answer["error"]
    assert project.call("add", 1, 2).get(timeout=60) == 3
    [queues] = project.app.control.inspect(timeout=5).active_queues().values()
    assert [queue["name"] for queue in queues] == ["celery"]
    assert "Traceback" not in node.log
    assert node.stop() == 0
