from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.worker.message_signals import received_request


@pytest.fixture
def app():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        yield app


def request_of(app: Celery, name: str = "shop.pay", **options: Any) -> Any:
    said: Any = options
    message = app.builder.build(name, (5,), {"to": "a"}, said, task_id="run-1")
    return received_request(message, app, name, node="w1@here")


def test_a_received_request_knows_its_task_and_what_its_message_says(app):
    pay = app.task(name="shop.pay")(lambda amount, to: None)

    request = request_of(app, headers={"tenant": "t1"}, time_limit=9)

    assert (request.task, request.type, request.name, request.app) == (pay, "shop.pay", "shop.pay", app)
    assert (request.id, request.args, request.kwargs, request.tenant) == ("run-1", [5], {"to": "a"}, "t1")
    assert (request.time_limits, request.request_dict["tenant"]) == ((9, None), "t1")
    assert (request.humaninfo(), str(request)) == ("shop.pay[run-1]", "shop.pay[run-1]")
    assert request.message.properties["correlation_id"] == "run-1"
    assert request.info()["args"] == [5]
    assert request.info(safe=True)["kwargs"] == "{'to': 'a'}"


def test_its_times_are_datetimes(app):
    request = request_of(app, eta=datetime(2030, 1, 1, tzinfo=UTC), expires=datetime(2031, 1, 1, tzinfo=UTC))

    assert (request.eta, request.expires) == (datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))
    assert request_of(app).eta is None


def test_a_task_that_is_not_here_is_none_and_logs_show_what_they_are_told_to(app):
    request = request_of(app, name="elsewhere.pay", shadow="paying")

    assert (request.task, request.type, request.name) == (None, "elsewhere.pay", "paying")
