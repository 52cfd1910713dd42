"""How the arguments of a call are written: serializer, compression, strictness and models, by option, task, setting."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from celeriac.app.task import Task
from celeriac.exceptions import EncodeError
from celeriac.wire.serializers import PICKLE, Accept
from tests.unit.app.messages import arguments_of, headers_of


class Order(BaseModel):
    number: int


def form_of(message) -> tuple[str, Any]:
    return message.content_type.rpartition("-")[2], headers_of(message).get("compression")


def test_the_call_says_it_before_the_task_and_the_task_before_the_settings(app):
    app.conf.update(task_compression="gzip")

    @app.task(compression="bzip2", serializer="msgpack")
    def special(): ...

    @app.task
    def usual(): ...

    forms = [
        form_of(app.builder.build(task, (), {}, options))
        for task, options in [
            (usual, {}),
            (special, {}),
            (special, {"serializer": "yaml", "compression": "zstd"}),
            ("elsewhere.task", {}),
        ]
    ]

    assert forms == [
        ("application/json", "application/x-gzip"),
        ("msgpack", "application/x-bz2"),
        ("yaml", "application/zstd"),
        ("application/json", "application/x-gzip"),
    ]


def test_an_unknown_form_is_named_when_the_call_is_made(app):
    with pytest.raises(EncodeError, match=r"task 'shop\.add' cannot be sent: there is no serializer 'jsn'"):
        app.send_task("shop.add", serializer="jsn")
    with pytest.raises(EncodeError, match="there is no compression 'gzp'; there are gzip"):
        app.send_task("shop.add", compression="gzp")


def test_strictness_is_the_task_s_or_else_the_setting_s(app):
    @app.task
    def usual(value): ...

    @app.task(strict_round_trip=True)
    def strict(value): ...

    @app.task(strict_round_trip=False)
    def lenient(value): ...

    usual.delay((1,))
    lenient.delay((1,))
    with pytest.raises(EncodeError, match=r"args\[0\] is a tuple and would arrive as a list"):
        strict.delay((1,))

    app.conf.task_strict_round_trip = True
    lenient.delay((1,))
    for call in (usual.delay, lambda value: app.send_task("elsewhere.task", [value])):
        with pytest.raises(EncodeError, match=r"args\[0\] is a tuple"):
            call((1,))


@pytest.fixture
def order_task(app):
    @app.task(pydantic=True)
    def take(order: Order) -> Order:
        return order

    return take


def test_models_are_sent_as_data(app, order_task):
    message = app.builder.build(order_task, (Order(number=1),), {})

    assert arguments_of(message) == ([{"number": 1}], {})
    assert headers_of(message)["argsrepr"] == "[{'number': 1}]"


def test_models_of_a_task_that_is_named_are_sent_as_data_too(app, order_task):
    message = app.builder.build(order_task.name, (), {"order": Order(number=1)})

    assert arguments_of(message) == ([], {"order": {"number": 1}})


def test_models_pass_a_strict_check_as_the_data_that_they_become(app, order_task):
    app.conf.task_strict_round_trip = True

    message = app.builder.build(order_task, (Order(number=1),), {}, {"serializer": "msgpack"})

    assert msgspec.msgpack.decode(message.body)[0] == [{"number": 1}]


def test_a_pickle_carries_models_as_they_are(app, order_task):
    message = app.builder.build(order_task, (Order(number=1),), {}, {"serializer": "pickle"})

    Accept.of(("pickle",), pickle_queues=("celery",)).check(message)
    assert PICKLE.loads(message.body)[0] == (Order(number=1),)


def test_a_model_that_nothing_expects_is_named(app):
    with pytest.raises(EncodeError, match=r"args\[0\] cannot be written as JSON: JSON cannot carry a Order; a task"):
        app.send_task("elsewhere.task", [Order(number=1)])


def test_a_task_takes_and_returns_data_when_it_is_called_here(app, order_task):
    assert order_task({"number": "1"}) == order_task(Order(number=1)) == {"number": 1}


def test_models_that_are_passed_fit_the_signature(app, order_task):
    with pytest.raises(TypeError, match="missing a required argument: 'order'"):
        order_task.delay()


def test_an_eager_run_gets_what_a_worker_would(app):
    seen = []

    @app.task(pydantic=True, bind=True)
    def take(self, order: Order) -> Order:
        seen.append((self.name, self.request.args, order))
        return order

    app.conf.task_always_eager = True

    assert take.delay(Order(number=1)).get() == {"number": 1}
    assert seen == [(take.name, [{"number": 1}], Order(number=1))]


def test_a_class_of_tasks_may_take_models_too(app):
    class Take(Task):
        name = "shop.take"
        pydantic = True

        def run(self, order: Order) -> Order:
            return order

    task = app.register_task(Take())

    assert task({"number": "1"}) == {"number": 1}
    assert arguments_of(app.builder.build(task, (Order(number=1),), {})) == ([{"number": 1}], {})
