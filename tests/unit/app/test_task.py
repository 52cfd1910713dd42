from __future__ import annotations

import asyncio
import functools
import importlib
import os
import pickle
import subprocess
import sys
from typing import Any
from unittest import mock

import pytest

from celeriac import AsyncResult, Celery, Task
from celeriac.app.context import Context, entered
from celeriac.brokers.base import ResultMeta
from celeriac.exceptions import EncodeError, MaxRetriesExceededError, Retry
from celeriac.wire.protocol import read_request
from tests.unit.app.messages import arguments_of, headers_of


@pytest.fixture
def add(app):
    @app.task
    def add(x, y=1):
        """Add two numbers."""
        return x + y

    return add


def context_of(task, message, **more):
    """Return the context in which a worker would run a message."""
    return Context.from_request(read_request(message), task=task, queue=message.queue, **more)


class TestPickling:
    def test_it_comes_back_as_itself_whichever_app_is_current(self):
        app = Celery("pickles", broker="memory://")  # others of the same name may be alive
        add = app.task(name="add")(lambda x, y: x + y)
        Celery("other", broker="memory://")

        assert pickle.loads(pickle.dumps(add)) is add

    def test_another_process_imports_its_module(self, tmp_path, monkeypatch):
        (tmp_path / "pickled_shop.py").write_text(
            "from celeriac import Celery\napp = Celery('pickled', broker='memory://')\n"
            "@app.task\ndef add(x, y):\n    return x + y\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        pickled = pickle.dumps(importlib.import_module("pickled_shop").add)
        script = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1]))(2, 3))"

        ran = subprocess.run(
            [sys.executable, "-c", script, pickled.hex()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )

        assert (ran.stdout, ran.stderr) == ("5\n", "")


class TestRegisteringClasses:
    def test_what_is_to_be_hidden_must_be_an_argument(self, app):
        class Pay(Task):
            name = "shop.pay"
            sensitive = ("card",)

            def run(self, amount): ...

        with pytest.raises(ValueError, match="names 'card', which is none of its arguments"):
            app.register_task(Pay)


class TestUpdatingStates:
    @pytest.mark.parametrize("kept", ["STARTED", "RETRY"])
    def test_a_later_attempt_can_be_told_of_by_a_thread_of_it(self, app, add, kept):
        app.backend.store([ResultMeta(task_id="run-1", state=kept, record=b"{}", retries=2)])

        add.update_state("run-1", "HALFWAY", {"done": 5})

        assert app.AsyncResult("run-1").state == "HALFWAY"

    def test_an_exception_is_kept_as_that_of_a_failure_is(self, app, add):
        add.update_state("run-1", "FAILURE", ValueError("no money"))

        with pytest.raises(ValueError, match="no money"):
            app.AsyncResult("run-1").get(timeout=0)

    def test_what_cannot_be_kept_is_named_by_the_id_that_was_given(self, add):
        with pytest.raises(EncodeError, match="id run-1"):
            add.update_state("run-1", "HALFWAY", object())

    def test_what_has_ended_stays_as_it_is(self, app, add):
        add.update_state("run-1", "FAILURE", {"exc_type": "ValueError", "exc_message": ["1"]})

        add.update_state("run-1", "HALFWAY", {"done": 5})

        assert app.AsyncResult("run-1").state == "FAILURE"


class TestMaking:
    def test_a_task_looks_like_its_function(self, add):
        looks = (add.__name__, add.__doc__, add.__module__, add.__wrapped__.__name__)

        assert looks == ("add", "Add two numbers.", __name__, "add")

    def test_the_body_of_a_plain_task_is_the_function(self, add):
        assert add.run(2, y=3) == 5

    def test_a_bound_body_gets_the_task_first(self, app):
        @app.task(bind=True)
        def who(self, greeting):
            return f"{greeting} {self.name}"

        assert who.run("hello") == who("hello") == f"hello {who.name}"

    def test_an_async_function_is_marked(self, app, add):
        @app.task
        async def fetch(): ...

        assert (fetch.is_async, add.is_async) == (True, False)

    def test_what_calls_an_async_function_is_marked_too(self, app):
        async def fetch(url): ...

        class Fetcher:
            async def __call__(self): ...

        partly = app.task(name="shop.partly")(functools.partial(fetch, "x"))
        caller = app.task(name="shop.caller")(Fetcher())

        assert (partly.is_async, caller.is_async) == (True, True)

    def test_options_that_are_not_said_come_from_the_settings_of_the_moment(self, app, add):
        before = (add.acks_late, add.ignore_result, add.track_started, add.priority)

        app.conf.update(task_acks_late=False, task_ignore_result=True, task_track_started=True, task_default_priority=3)

        after = (add.acks_late, add.ignore_result, add.track_started, add.priority)
        assert before == (True, False, False, None)
        assert after == (False, True, True, 3)

    def test_options_that_are_said_stay(self, app):
        @app.task(acks_late=False, ignore_result=True, max_retries=None, default_retry_delay=5)
        def early(): ...

        app.conf.update(task_acks_late=True, task_ignore_result=False)

        said = (early.acks_late, early.ignore_result, early.max_retries, early.default_retry_delay)
        assert said == (False, True, None, 5)

    def test_it_says_where_its_calls_go_whatever_the_routes_say_and_a_call_says_more(self, app):
        app.conf.task_routes = {"shop.*": "routed"}
        told = app.task(name="shop.told", queue="mail", delivery_mode="transient")(lambda: None)
        routed = app.task(name="shop.routed", queue=None)(lambda: None)

        calls = [(told, {}), (told, {"queue": "urgent"}), (routed, {})]
        messages = [app.builder.build(task, (), {}, options) for task, options in calls]

        assert [message.queue for message in messages] == ["mail", "urgent", "routed"]
        assert (told.queue, told.delivery_mode) == ("mail", 1)

    def test_it_may_name_an_exchange(self, app):
        log = app.task(exchange="logs", exchange_type="topic", routing_key="shop.paid", mandatory=False)(lambda: None)

        message = app.builder.build(log, (), {}, {})

        assert (message.route.exchange, message.route.routing_key, message.route.mandatory) == (
            "logs",
            "shop.paid",
            False,
        )

    def test_its_class_knows_the_app_where_that_is_one_of_the_app(self, app, add):
        class Kind(Task):
            name = "shop.kind"

            def run(self): ...

        other = Celery("other", broker="memory://", set_as_current=False)
        registered: Any = other.register_task(Kind())

        assert (type(add)._get_app(), add._get_app(), type(add).app) == (app, app, app)
        assert (registered._get_app(), Kind._get_app()) == (other, app)  # the current one

    def test_the_defaults_of_retrying_are_celerys(self, add):
        assert (add.max_retries, add.default_retry_delay) == (3, 180)

    def test_an_option_can_be_set_on_the_task_later(self, add):
        add.ignore_result = True

        assert add.ignore_result is True

    def test_an_option_that_was_patched_for_a_while_is_forgotten_by_calls(self, add, sent):
        with mock.patch.object(add, "priority", 5):
            add.delay(1)
        add.delay(1)

        assert sorted(message.priority for message in sent()) == [0, 5]

    def test_an_attribute_that_does_not_exist_is_named_with_the_nearest(self, add):
        with pytest.raises(AttributeError, match="has no 'dely'; did you mean 'delay'"):
            add.dely  # noqa: B018

    def test_what_a_property_misses_is_what_is_named(self, app):
        class Stored(Task):
            @property
            def database(self):
                return self.conection  # type: ignore[attr-defined]  # the mistake that is meant

        task = app.task(base=Stored, name="shop.stored")(lambda: 1)

        with pytest.raises(AttributeError, match="has no 'conection'"):
            task.database  # noqa: B018

    @pytest.mark.parametrize(
        ("option", "value", "error"),
        [
            ("max_retry", 1, "has no option 'max_retry'"),
            ("backend", "x", "has no option 'backend'"),
            ("max_retries", -1, "max_retries of task 'shop.t' must be a whole number >= 0, or None, got -1"),
            ("default_retry_delay", "5", "default_retry_delay of task 'shop.t' must be a number of seconds"),
            ("serializer", "jsn", "serializer of task 'shop.t' must be one of 'json', 'msgpack'"),
            ("compression", "gzp", "compression of task 'shop.t' must be one of 'gzip', 'zlib'"),
            ("expires", "soon", "expires must be an ISO 8601 time"),
            ("queue", 5, "queue of task 'shop.t' must be a queue, or the name of one, or None, got 5"),
            ("delivery_mode", 3, "delivery_mode of task 'shop.t' must be"),
        ],
    )
    def test_a_wrong_option_is_named_when_the_task_is_made(self, app, option, value, error):
        with pytest.raises((TypeError, ValueError)) as caught:
            app.task(name="shop.t", **{option: value})(lambda: None)

        assert error in str(caught.value)


class TestCallingInPlace:
    def test_a_task_can_be_called_as_the_function_it_is(self, add):
        assert add(2, y=3) == 5

    def test_the_request_of_such_a_call_says_so(self, app):
        @app.task(bind=True)
        def look(self, x):
            return self.request.called_directly, self.request.id, self.request.args, self.request.kwargs

        assert look(1) == (True, None, (1,), {})

    def test_outside_of_any_call_the_request_is_empty(self, add):
        assert (add.request.called_directly, add.request.id) == (True, None)

    async def test_an_async_task_is_awaited_and_has_its_own_request_meanwhile(self, app):
        @app.task(bind=True)
        async def echo(self, x):
            await asyncio.sleep(0)
            return self.request.args, app.current_task is self

        both = [await running for running in [asyncio.create_task(echo(1)), asyncio.create_task(echo(2))]]

        assert both == [((1,), True), ((2,), True)]
        assert app.current_task is None

    def test_a_task_still_has_its_request_while_it_calls_another(self, app):
        @app.task
        def inner():
            return outer.request.id

        @app.task(bind=True)
        def outer(self):
            return inner()

        outer.push_request(id="run-1")
        try:
            seen = outer.run()
        finally:
            outer.pop_request()

        assert seen == "run-1"

    def test_a_task_called_inside_another_does_not_see_the_request_of_that(self, app, add):
        @app.task(bind=True)
        def outer(self):
            return inner(), self.request.args, app.current_task is outer

        @app.task(bind=True)
        def inner(self):
            return app.current_task is inner, self.request is add.request

        assert outer() == ((True, False), (), True)


class TestSending:
    def test_delay_sends_its_arguments_to_the_default_queue(self, add, sent):
        result = add.delay(1, y=2)

        [message] = sent("celery")
        assert isinstance(result, AsyncResult)
        assert (message.task_id, headers_of(message)["task"]) == (result.id, add.name)
        assert arguments_of(message) == ([1], {"y": 2})

    def test_delay_sends_as_a_class_that_overrides_apply_async_says(self, app, sent):
        class Once(Task):
            abstract = True

            def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as programs do
                return super().apply_async(args, kwargs, **options, priority=7)

        @app.task(base=Once)
        def pay(amount):
            return amount

        pay.delay(5)
        pay.s(6).delay()

        assert [message.priority for message in sent()] == [7, 7]

    def test_delay_sends_by_an_apply_async_that_a_test_has_patched(self, add, sent):
        with mock.patch.object(add, "apply_async", return_value="sent") as patched:
            assert add.delay(1, y=2) == "sent"
        with mock.patch("celeriac.app.task.Task.apply_async", return_value="sent"):
            assert add.delay(1) == "sent"

        patched.assert_called_once_with((1,), {"y": 2})
        assert not sent()

    def test_apply_async_sends_with_an_id_of_ones_own(self, add, sent):
        by_name = add.apply_async((1,), {"y": 2}, task_id="order-7")
        by_place = add.apply_async((1,), None, "order-8")

        assert [message.task_id for message in sent()] == [by_name.id, by_place.id] == ["order-7", "order-8"]

    def test_arguments_that_do_not_fit_are_refused_and_nothing_is_sent(self, add, sent):
        with pytest.raises(TypeError, match="missing a required argument: 'x'"):
            add.delay()
        with pytest.raises(TypeError, match="too many positional arguments"):
            add.apply_async((1, 2, 3))

        assert sent() == []

    def test_the_task_itself_is_not_an_argument_of_a_bound_task(self, app, sent):
        @app.task(bind=True)
        def pay(self, amount): ...

        pay.delay(5)

        assert arguments_of(sent()[0]) == ([5], {})

    def test_the_check_of_arguments_can_be_switched_off(self, app, sent):
        @app.task(typing=False)
        def pay(amount): ...

        pay.delay()

        assert len(sent()) == 1

    def test_an_option_that_does_not_exist_is_named_with_the_nearest_or_all_of_them(self, add, sent):
        with pytest.raises(TypeError) as near:
            add.apply_async((1,), count_down=1)
        with pytest.raises(TypeError) as far:
            add.apply_async((1,), x=1)

        assert str(near.value) == f"a call of task {add.name!r} has no option 'count_down'; did you mean 'countdown'?"
        assert f"a call of task {add.name!r} has no option 'x'; there are expires, queue" in str(far.value)
        assert sent() == []


@pytest.fixture
def flaky(app):
    @app.task(bind=True, max_retries=2, default_retry_delay=30)
    def flaky(self, x=0, *, how):
        return how(self)

    return flaky


def run(task, how, **more):
    """Run a task as a worker would, for a message sent before; return its context and what the body returned."""
    message = task.app.builder.build(task, (7,), {"how": None}, more.pop("options", {}), task_id="run-1")
    context = context_of(task, message, **more)
    with entered(context):
        return context, how(task)


class TestRetrying:
    def test_a_retry_ends_the_body_and_leaves_the_next_attempt_to_the_outcome(self, flaky, sent):
        context = context_of(flaky, flaky.app.builder.build(flaky, (7,), {"how": "x"}, task_id="run-1"))

        with entered(context), pytest.raises(Retry) as caught:
            flaky.retry(countdown=0, exc=ValueError("busy"))

        [following] = context.following
        headers = headers_of(following)
        assert (headers["id"], headers["retries"], headers["task"]) == ("run-1", 1, flaky.name)
        assert arguments_of(following) == ([7], {"how": "x"})
        assert str(caught.value) == "Retry in 0s: ValueError('busy')"
        assert repr(caught.value.exc) == "ValueError('busy')"
        assert sent() == []

    def test_the_next_attempt_waits_for_the_default_delay(self, flaky):
        context, ending = run(flaky, lambda task: task.retry(throw=False))

        [following] = context.following
        assert following.eta_at == pytest.approx(ending.eta_at)
        assert str(ending) == "Retry in 30s"
        assert headers_of(following)["eta"] is not None

    def test_the_delay_can_be_chosen(self, flaky):
        context, ending = run(flaky, lambda task: task.retry(throw=False, eta="2030-01-01T00:00:00Z"))

        assert context.following[0].eta_at == ending.eta_at == 1893456000.0

    def test_a_countdown_in_the_past_is_at_once(self, flaky):
        context, ending = run(flaky, lambda task: task.retry(throw=False, countdown=-5))

        assert (context.following[0].eta_at, ending.eta_at) == (None, None)

    def test_arguments_can_be_changed(self, flaky):
        context, _ = run(flaky, lambda task: task.retry(args=(8,), kwargs={"how": 1}, throw=False))

        assert arguments_of(context.following[0]) == ([8], {"how": 1})

    def test_arguments_of_a_wrong_type_are_refused(self, flaky):
        with pytest.raises(TypeError, match="task args must be a list or tuple, got str 'ab'"):
            run(flaky, lambda task: task.retry(args="ab"))

    def test_what_the_message_said_is_said_again(self, flaky):
        said = {
            "queue": "slow",
            "priority": 4,
            "headers": {"tenant": "t1"},
            "shadow": "other name",
            "ignore_result": True,
            "expires": "2031-01-01T00:00:00+01:00",
        }

        context, _ = run(flaky, lambda task: task.retry(throw=False), options=said)

        [following] = context.following
        headers = headers_of(following)
        assert (following.queue, following.priority, headers["tenant"]) == ("slow", 4, "t1")
        assert (headers["shadow"], headers["ignore_result"]) == ("other name", True)
        assert headers["expires"] == context.expires == "2030-12-31T23:00:00+00:00"

    def test_the_next_attempt_has_the_same_root_and_parent(self, flaky):
        root = Context(id="child", root_id="root", called_directly=False)
        with entered(root):
            context, _ = run(flaky, lambda task: task.retry(throw=False))

        headers = headers_of(context.following[0])
        assert (headers["root_id"], headers["parent_id"]) == ("root", "child")

    def test_the_next_attempt_of_a_run_without_a_parent_is_its_own(self, flaky):
        context, _ = run(flaky, lambda task: task.retry(throw=False))

        headers = headers_of(context.following[0])
        assert (headers["root_id"], headers["parent_id"]) == ("run-1", "run-1")

    def test_a_signature_of_the_run_has_its_id_and_its_options(self, flaky):
        options = {"queue": "slow", "priority": 4, "headers": {"tenant": "t1"}}

        _, again = run(flaky, lambda task: task.signature_from_request(args=(8,), countdown=3), options=options)

        assert (again.task, again.args, again.options["task_id"]) == (flaky.name, (8,), "run-1")
        assert (again.options["queue"], again.options["priority"], again.options["countdown"]) == ("slow", 4, 3)
        assert again.options["headers"] == {"tenant": "t1"}

    def test_options_change_what_the_message_said(self, flaky):
        options = {"queue": "slow", "priority": 4}

        context, _ = run(flaky, lambda task: task.retry(throw=False, queue="fast", priority=0), options=options)

        [following] = context.following
        assert (following.queue, following.priority) == ("fast", 0)

    def test_an_option_that_does_not_exist_is_named(self, flaky):
        with pytest.raises(TypeError, match=r"a retry of task '.*flaky' has no option 'timeout'"):
            run(flaky, lambda task: task.retry(timeout=3))

    def test_after_the_last_retry_the_exception_given_is_raised(self, flaky):
        context = Context(id="run-1", task=flaky.name, current=flaky, called_directly=False, retries=2)

        with entered(context), pytest.raises(ValueError, match="busy"):
            flaky.retry(exc=ValueError("busy"))

        assert context.following == []

    def test_after_the_last_retry_without_exception_the_limit_is_what_is_raised(self, flaky):
        context = Context(
            id="run-1", task=flaky.name, args=(7,), kwargs={"y": 1}, current=flaky, called_directly=False, retries=2
        )

        with entered(context), pytest.raises(MaxRetriesExceededError) as caught:
            flaky.retry()

        assert str(caught.value) == f"Can't retry {flaky.name}[run-1] args:(7,) kwargs:{{'y': 1}}"
        assert (caught.value.task_args, caught.value.task_kwargs) == ((7,), {"y": 1})

    def test_the_limit_can_be_raised_for_one_retry(self, flaky):
        context = Context(id="run-1", task=flaky.name, current=flaky, called_directly=False, retries=2)

        with entered(context):
            flaky.retry(max_retries=3, throw=False)

        assert headers_of(context.following[0])["retries"] == 3

    def test_no_limit_is_for_ever(self, app):
        @app.task(max_retries=None)
        def stubborn(): ...

        context = Context(id="run-1", task=stubborn.name, current=stubborn, called_directly=False, retries=10_000)
        with entered(context):
            stubborn.retry(throw=False)

        assert headers_of(context.following[0])["retries"] == 10_001

    def test_called_directly_there_is_nothing_to_retry_so_the_reason_is_raised(self, flaky):
        with pytest.raises(ValueError, match="busy"):
            flaky(how=lambda task: task.retry(exc=ValueError("busy")))

    def test_called_directly_without_a_reason_retry_is_raised_because_of_what_happened(self, flaky):
        def fail_and_retry(task):
            try:
                raise KeyError("first")
            except KeyError:
                task.retry()

        with pytest.raises(Retry) as caught:
            flaky(how=fail_and_retry)

        assert isinstance(caught.value.__cause__, KeyError)

    def test_a_task_called_by_another_cannot_retry_that_one(self, flaky, add):
        context = Context(id="run-1", task=add.name, current=add, called_directly=False)

        with entered(context), pytest.raises(Retry):
            flaky(how=lambda task: task.retry())

        assert context.following == []
