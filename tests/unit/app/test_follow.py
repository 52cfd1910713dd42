from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from celeriac.app.context import Context
from celeriac.app.follow import after_failure, after_success, call_inline, check_following
from celeriac.app.trace import in_one_step
from celeriac.canvas import signature
from celeriac.exceptions import DecodeError, EncodeError
from tests.unit.app.messages import arguments_of, headers_of

BOOM = ValueError("boom")


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


def run_with(**more) -> Context:
    """Return the context of a run whose message carried signatures, as the plain dicts that they arrive as."""
    for name in ("callbacks", "errbacks"):
        if name in more:
            more[name] = [dict(call, args=list(call["args"])) for call in more[name]]
    fields: dict[str, Any] = {"id": "run-1", "root_id": "root-1", "task": "shop.pay", "called_directly": False}
    return Context(**fields | more)


async def run(coroutine):
    return asyncio.run(coroutine)


def sent_after_success(app, context, value=3):
    return after_success(context, value, sender=app.sender)


class TestCallbacks:
    def test_one_gets_the_result_in_front(self, app, add):
        [message] = sent_after_success(app, run_with(callbacks=[add.s(10)]))

        headers = headers_of(message)
        assert arguments_of(message) == ([3, 10], {})
        assert (headers["task"], headers["root_id"], headers["parent_id"]) == ("shop.add", "root-1", "run-1")
        assert (headers["group"], headers["group_index"]) == (None, None)

    def test_an_immutable_one_does_not(self, app, add):
        [message] = sent_after_success(app, run_with(callbacks=[add.si(10, y=2)]))

        assert arguments_of(message) == ([10], {"y": 2})

    def test_several_are_a_group(self, app, add):
        first, second = sent_after_success(app, run_with(callbacks=[add.s(1), add.s(2).set(queue="other")]))

        one, two = headers_of(first), headers_of(second)
        assert one["group"] == two["group"] is not None
        assert (one["group_index"], two["group_index"]) == (0, 1)
        assert (first.queue, second.queue) == ("celery", "other")

    def test_they_are_children_of_the_run(self, app, add):
        context = run_with(callbacks=[add.s(1), add.s(2)])

        messages = sent_after_success(app, context)

        assert [child.id for child in context.children] == [message.task_id for message in messages]

    def test_their_options_are_obeyed(self, app, add):
        call = add.s(1).set(task_id="mine", countdown=60, priority=4, link=add.s(5), stamped_headers=["a"], a=1)

        [message] = sent_after_success(app, run_with(callbacks=[call]))

        headers = headers_of(message)
        assert (message.task_id, message.priority, headers["stamps"]) == ("mine", 4, {"a": 1})
        assert message.eta_at is not None
        assert b'"callbacks": [{"task": "shop.add"' in message.body

    def test_an_option_that_nobody_knows_is_a_property_as_in_celery(self, app, add):
        [message] = sent_after_success(app, run_with(callbacks=[add.s(1).set(unheard=1)]))

        assert message.properties == b'{"unheard": 1}'

    def test_a_task_that_is_not_known_here_is_sent_too(self, app):
        [message] = sent_after_success(app, run_with(callbacks=[signature("elsewhere.task")]))

        assert (headers_of(message)["task"], arguments_of(message)) == ("elsewhere.task", ([3], {}))

    def test_a_run_that_is_its_own_root_is_that_of_its_callbacks(self, app, add):
        [message] = sent_after_success(app, run_with(root_id=None, callbacks=[add.s()]))

        assert headers_of(message)["root_id"] == "run-1"

    @pytest.mark.parametrize(
        ("value", "option"),
        [(object(), {}), (1, {"queue": ""}), (1, {"countdown": "x"}), (1, {"chord": {}})],
    )
    def test_one_that_cannot_be_sent_is_an_error_of_the_run(self, app, add, value, option):
        with pytest.raises(EncodeError, match=r"task 'shop\.add'.* cannot be sent"):
            sent_after_success(app, run_with(callbacks=[add.s(1).set(**option)]), value)

    def test_without_callbacks_there_is_nothing(self, app):
        assert sent_after_success(app, run_with()) == []


def note(name: str, noted: list[Any]):
    def errback(request, exc, traceback):
        noted.append((name, request.id, exc, traceback))

    return errback


class TestErrbacks:
    def test_one_with_one_argument_is_sent_with_the_id(self, app):
        @app.task(name="shop.report")
        def report(task_id): ...

        [message], inline = after_failure(run_with(errbacks=[report.s()]), BOOM, app=app)

        headers = headers_of(message)
        assert (arguments_of(message), inline) == ((["run-1"], {}), [])
        assert (headers["root_id"], headers["parent_id"], headers["group_index"]) == ("root-1", "run-1", 0)
        assert headers["group"] is not None

    def test_one_that_is_not_known_here_is_sent(self, app):
        messages, inline = after_failure(run_with(errbacks=[signature("elsewhere.task", ("x",))]), BOOM, app=app)

        assert ([arguments_of(message) for message in messages], inline) == ([(["run-1", "x"], {})], [])

    def test_a_bound_one_is_sent(self, app):
        @app.task(name="shop.report", bind=True)
        def report(self, request, exc, traceback): ...

        messages, inline = after_failure(run_with(errbacks=[report.s()]), BOOM, app=app)

        assert (len(messages), inline) == (1, [])

    def test_one_with_room_for_more_is_called_with_what_happened(self, app):
        noted: list[Any] = []
        task = app.task(name="shop.note")(note("first", noted))
        context = run_with(errbacks=[task.s()])

        messages, inline = after_failure(context, BOOM, app=app)
        in_one_step(call_inline(inline, context, BOOM, "Traceback …", wait_for=run))

        assert messages == []
        assert noted == [("first", "run-1", BOOM, "Traceback …")]

    def test_what_it_stores_comes_behind_and_counts_as_used(self, app):
        seen: list[Any] = []

        @app.task(name="shop.any")
        def anything(*args, **kwargs):
            seen.append((args[1:], kwargs))

        @app.task(name="shop.two")
        def two(task_id, reason): ...

        context = run_with(errbacks=[anything.s("stored", k=1), two.s("stored")])
        [message], inline = after_failure(context, BOOM, app=app)
        in_one_step(call_inline(inline, context, BOOM, None, wait_for=run))

        assert seen == [((BOOM, None, "stored"), {"k": 1})]
        assert arguments_of(message) == (["run-1", "stored"], {})

    def test_an_immutable_one_gets_only_its_own(self, app):
        seen = []

        @app.task(name="shop.own")
        def own(x, y):
            seen.append((x, y))

        context = run_with(errbacks=[own.si(1, 2)])
        _, inline = after_failure(context, BOOM, app=app)
        in_one_step(call_inline(inline, context, BOOM, None, wait_for=run))

        assert seen == [(1, 2)]

    def test_one_that_raises_is_logged_and_the_next_is_called(self, app, caplog):
        noted: list[Any] = []

        @app.task(name="shop.raising")
        def raising(request, exc, traceback):
            raise RuntimeError("in the errback")

        task = app.task(name="shop.note")(note("second", noted))
        context = run_with(errbacks=[raising.s(), task.s()])
        _, inline = after_failure(context, BOOM, app=app)
        with caplog.at_level(logging.ERROR):
            in_one_step(call_inline(inline, context, BOOM, None, wait_for=run))

        assert [name for name, *_ in noted] == ["second"]
        assert "Errback 'shop.raising' of task shop.pay[run-1] raised" in caplog.text

    def test_a_coroutine_is_run_to_its_end(self, app):
        noted = []

        @app.task(name="shop.slow")
        async def slow(request, exc, traceback):
            await asyncio.sleep(0)
            noted.append(request.id)

        context = run_with(errbacks=[slow.s()])
        _, inline = after_failure(context, BOOM, app=app)
        in_one_step(call_inline(inline, context, BOOM, None, wait_for=run))

        assert noted == ["run-1"]

    def test_one_that_cannot_be_sent_is_logged_and_the_others_are_sent(self, app, caplog):
        lost = signature("elsewhere.task").set(queue="")

        messages, _ = after_failure(run_with(errbacks=[lost, signature("elsewhere.other")]), BOOM, app=app)

        assert [headers_of(message)["task"] for message in messages] == ["elsewhere.other"]
        assert "Errback 'elsewhere.task' of task shop.pay[run-1], which raised ValueError('boom')" in caplog.text


class TestChecking:
    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"chord": {"args": []}, "chain": []}, "chord of message run-1 of task 'shop.pay' are no signatures"),
            ({"chord": {"task": "x.flow", "subtask_type": "flow"}}, "carries a flow among its chord"),
            ({"callbacks": [{"task": "x.flow", "subtask_type": "flow"}]}, "carries a flow among its callbacks"),
            ({"chain": [{"kwargs": {}}]}, "chain of message run-1 of task 'shop.pay' are no signatures"),
            ({"errbacks": [5]}, "errbacks of message run-1 of task 'shop.pay' are no signatures: 5"),
            ({"callbacks": [{"args": []}]}, "callbacks of message run-1"),
        ],
    )
    def test_what_cannot_follow_is_refused(self, fields, text):
        with pytest.raises(DecodeError) as caught:
            check_following("shop.pay", Context(id="run-1", **fields))

        assert text in str(caught.value)

    def test_plain_signatures_are_accepted(self):
        check_following("shop.pay", Context(id="run-1", callbacks=[{"task": "a"}], errbacks=[{"task": "b"}], chain=[]))
