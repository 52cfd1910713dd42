from __future__ import annotations

import datetime
import logging

import pytest

from celeriac import AsyncResult, Celery, Task
from celeriac.app import current
from celeriac.app.eager_result import EagerResult
from celeriac.exceptions import EncodeError, Retry


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    return add


@pytest.fixture
def flaky(app):
    @app.task(name="shop.flaky", bind=True, max_retries=3)
    def flaky(self, until):
        if self.request.retries < until:
            raise self.retry(exc=ValueError(self.request.retries), countdown=60)
        return self.request.retries, self.request.id

    return flaky


class TestApplying:
    def test_the_result_is_there_at_once(self, add):
        result = add.apply((2,), {"y": 3}, task_id="run-1")

        assert isinstance(result, EagerResult)
        assert (result.id, result.state, result.get()) == ("run-1", "SUCCESS", 5)

    def test_an_exception_is_the_result(self, add):
        result = add.apply((2, "x"))

        assert (result.state, type(result.result)) == ("FAILURE", TypeError)
        assert "in add" in (result.traceback or "")
        with pytest.raises(TypeError):
            result.get()

    def test_it_is_raised_when_asked_for(self, app, add):
        with pytest.raises(TypeError):
            add.apply((2, "x"), throw=True)
        app.conf.task_eager_propagates = True
        with pytest.raises(TypeError):
            add.apply((2, "x"))

    def test_the_request_tells_what_is_known(self, app):
        @app.task(bind=True)
        def look(self):
            request = self.request
            return request.is_eager, request.called_directly, request.headers, request.tenant, request.retries

        assert look.apply(headers={"tenant": "t1"}, retries=2).get() == (True, False, {"tenant": "t1"}, "t1", 2)

    def test_retries_follow_at_once_under_the_same_id(self, flaky):
        result = flaky.apply((2,), task_id="run-1")

        assert (result.state, result.get()) == ("SUCCESS", (2, "run-1"))

    def test_too_many_retries_fail(self, flaky):
        result = flaky.apply((9,))

        assert (result.state, repr(result.result)) == ("FAILURE", "ValueError(3)")

    def test_a_coroutine_is_run_also_beside_a_running_loop(self, app):
        @app.task(name="shop.later")
        async def later(x):
            return x

        async def within_a_loop():
            return later.apply((2,)).get()

        import asyncio

        assert later.apply((1,)).get() == 1
        assert asyncio.run(within_a_loop()) == 2

    def test_callbacks_of_a_call_are_sent(self, app, add, sent):
        add.apply((2, 3), link=add.s(1))

        [message] = sent("celery")
        assert b"[5, 1]" in message.body


class TestAlwaysEager:
    @pytest.fixture(autouse=True)
    def eager(self, app):
        app.conf.task_always_eager = True

    def test_calls_run_here(self, add):
        result = add.delay(2, 3)

        assert isinstance(result, EagerResult)
        assert isinstance(result, AsyncResult)
        assert result.get() == 5

    def test_arguments_arrive_as_they_would_at_a_worker(self, app):
        @app.task(name="shop.look")
        def look(pair, when):
            return type(pair).__name__, when

        when = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)

        assert look.delay((1, 2), when).get() == ("list", when)

    def test_what_cannot_be_carried_is_refused_at_the_call(self, add):
        with pytest.raises(EncodeError, match=r"args\[1\]"):
            add.delay(1, object())

    def test_callbacks_and_errbacks_run_here_too(self, app, add):
        seen = []

        @app.task(name="shop.note")
        def note(value):
            seen.append(value)

        @app.task(name="shop.explain")
        def explain(request, exc, traceback):
            seen.append((request.id, repr(exc)))

        add.apply_async((2, 3), link=note.s())
        result = add.apply_async((2, "x"), link_error=explain.s(), task_id="run-1")

        assert seen[0] == 5
        assert seen[1][0] == "run-1"
        assert result.failed()

    def test_callbacks_and_errbacks_are_those_of_its_own_app(self, app, add, monkeypatch):
        other = Celery("other", broker="memory://", set_as_current=False)
        monkeypatch.setattr(current, "_current", other)
        seen = []

        @app.task(name="shop.note")
        def note(value):
            seen.append(value)

        add.apply_async((2, 3), link=note.s())
        add.apply_async((2, "x"), link_error=note.s(), task_id="run-1")

        assert seen == [5, "run-1"]

    def test_a_countdown_is_not_waited_for(self, add):
        assert add.apply_async((1, 2), countdown=3600).get() == 3

    def test_results_are_stored_when_asked_for(self, app, add):
        kept_nowhere = add.delay(1, 2)
        app.conf.task_store_eager_result = True
        kept = add.delay(1, 2)

        assert app.AsyncResult(kept_nowhere.id).state == "PENDING"
        assert app.AsyncResult(kept.id).get(timeout=0) == 3


def test_hooks_and_log_lines_are_those_of_a_worker(app, caplog):
    class Noting(Task):
        def on_success(self, retval, task_id, args, kwargs):
            logging.getLogger("celeriac.trace").info("hook %s", retval)

    task = app.task(base=Noting, name="shop.noting")(lambda: 1)

    with caplog.at_level(logging.INFO, logger="celeriac.trace"):
        task.apply(task_id="run-1")

    assert [line.split(" in ")[0] for line in caplog.messages] == ["hook 1", "Task shop.noting[run-1] succeeded"]


def test_retry_without_throwing_goes_on_with_the_body(app):
    @app.task(bind=True, name="shop.soft")
    def soft(self):
        ending = self.retry(throw=False, countdown=1)
        assert isinstance(ending, Retry)
        return "returned"

    assert soft.apply().get() == "returned"
