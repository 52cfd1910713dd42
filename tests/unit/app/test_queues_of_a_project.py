"""A settings module as projects of Celery 3 have them works as it is, with kombu's queues and with ours."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from celeriac import Celery, Exchange, Queue
from celeriac.testing.worker import start_worker

MODULE = "tests.unit.app.queues_of_a_project"
TASKS = "home_application.tasks"


def exchange_like_kombus(name="", type="", **options: Any) -> Any:
    said: dict[str, Any] = dict.fromkeys(("arguments", "delivery_mode"))
    said |= {"durable": True, "passive": False, "auto_delete": False, "no_declare": False}
    return SimpleNamespace(name=name, type=type or "direct", **(said | options))


def queue_like_kombus(name, exchange, routing_key="", **options: Any) -> Any:
    said: dict[str, Any] = {attribute: None for attribute, _ in Queue.attrs}
    said |= {"durable": True, "exclusive": False, "auto_delete": False, "no_ack": False, "bindings": set()}
    return SimpleNamespace(**(said | {"name": name, "exchange": exchange, "routing_key": routing_key} | options))


@pytest.fixture(params=["ours", "kombu's"])
def app(request, monkeypatch):
    kombu: Any = ModuleType("kombu")
    ours = request.param == "ours"
    kombu.Exchange, kombu.Queue = (Exchange, Queue) if ours else (exchange_like_kombus, queue_like_kombus)
    monkeypatch.setitem(sys.modules, "kombu", kombu)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    app = Celery("home", broker=f"memory://home-{ours}", set_as_current=False)
    app.config_from_object(importlib.import_module(MODULE))
    yield app
    app.close()


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("insert_data_task", "insert_data"),
        ("insert_multi_data_task", "insert_data"),
        ("push_tracking", "push"),
        ("push_weight", "push"),
        ("priority_task", "pipeline_priority"),
        ("another", "default"),
    ],
)
def test_tasks_go_to_their_queues(app, task, queue):
    message = app.builder.build(f"{TASKS}.{task}", (), {})

    assert (message.queue, message.route, message.properties) == (queue, None, None)


def test_the_queues_are_those_that_are_listed(app):
    queues = app.amqp.queues

    assert list(queues) == list(queues.consume_from) == ["default", "insert_data", "push", "pipeline_priority"]
    assert {queue.exchange.name for queue in queues.values()} == {"default"}
    assert queues["pipeline_priority"].queue_arguments == {"x-max-priority": 9}
    assert app.amqp.default_queue.routing_key == "default"


def test_a_worker_works_on_all_of_them(app):
    seen = []

    @app.task(name=f"{TASKS}.push_weight")
    def push_weight():
        seen.append("push")

    @app.task(name=f"{TASKS}.other")
    def other():
        seen.append("default")

    with start_worker(app, perform_ping_check=False):
        results = [push_weight.delay(), other.delay()]
        for result in results:
            result.get(timeout=60)

    assert sorted(seen) == ["default", "push"]


def test_its_exchange_leads_to_each_queue_by_its_key(app):
    app.send_task("any.task", exchange="default", routing_key="push_key")

    assert [(depth.queue, depth.ready) for depth in app.broker.depths()] == [("push", 1)]
