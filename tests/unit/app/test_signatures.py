"""Signatures of the tasks of a real app."""

from __future__ import annotations

import asyncio
import pickle
import threading
import uuid

import pytest

from celeriac import signature
from celeriac.exceptions import NotRegistered
from tests.unit.app.messages import arguments_of, headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1):
        return x + y

    return add


@pytest.mark.parametrize("make", ["signature", "subtask"])
def test_a_task_makes_them_as_apply_async_takes_its_arguments(add, make):
    call = getattr(add, make)((2, 3), {"y": 4}, countdown=10)

    assert (call.task, call.args, call.kwargs, call.options) == ("shop.add", (2, 3), {"y": 4}, {"countdown": 10})
    assert call.type is add


def test_s_and_si_take_them_as_the_function_does(add):
    assert (add.s(2, y=3).args, add.s(2, y=3).kwargs, add.s().immutable) == ((2,), {"y": 3}, False)
    assert add.si(2, 3).immutable
    assert repr(add.s(2, 3)) == "shop.add(2, 3)"


def test_called_it_is_the_function(app, add):
    assert add.s(3)(2) == 5
    assert app.signature("shop.add", (2, 2))() == 4
    with pytest.raises(NotRegistered):
        app.signature("shop.subtract", (2, 2))()


def test_sent_it_is_checked_like_any_call(add, sent):
    result = add.s(3).apply_async((2,), task_id="my-id", priority=4)

    [message] = sent()
    assert (result.id, message.task_id, message.priority) == ("my-id", "my-id", 4)
    assert arguments_of(message) == ([2, 3], {})
    with pytest.raises(TypeError, match=r"task 'shop.add' cannot be called like this"):
        add.s(3).delay(1, 2)


def test_a_task_that_is_not_known_here_is_sent_by_name(app, sent):
    app.signature("elsewhere.task", (1,)).delay()

    assert headers_of(sent()[0])["task"] == "elsewhere.task"


def test_one_without_an_app_is_of_the_current_one(app, add, sent):
    app.set_current()

    assert signature("shop.add", (1,)).type is add
    pickle.loads(pickle.dumps(add.s(1))).delay()
    assert len(sent()) == 1


def test_freezing_names_the_reply_queue_of_the_thread(app, add):
    call = add.s(1)

    result = call.freeze()

    assert result.id == call.id
    assert call.options["reply_to"] == app.thread_oid


def test_oids_are_uuids_of_process_and_thread(app):
    seen = [app.thread_oid]
    thread = threading.Thread(target=lambda: seen.append(app.thread_oid))
    thread.start()
    thread.join()

    here, there = seen
    assert uuid.UUID(here).version == 3
    assert (here, app.oid) == (app.thread_oid, app.oid)
    assert len({here, there, app.oid}) == 3


def test_the_async_twins_publish_too(app, add, sent):
    async def call():
        return [
            await add.adelay(1),
            await add.aapply_async((2,), task_id="second"),
            await add.s(3).adelay(),
            await app.signature("elsewhere.task", (4,)).adelay(),
            await app.asend_task("elsewhere.task", (5,), queue="celery"),
        ]

    results = asyncio.run(call())

    messages = sent()
    assert [message.task_id for message in messages] == [result.id for result in results]
