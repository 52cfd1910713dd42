from __future__ import annotations

import asyncio
import logging
from typing import ClassVar

import pytest

from celeriac import Task
from celeriac.app import signals
from celeriac.app.context import Context, current_context
from celeriac.app.trace import Tracer, in_one_step
from celeriac.exceptions import EncodeError, Ignore, Reject, Retry


class Surroundings:
    """Note what a run asks of its surroundings."""

    def __init__(self, *, is_eager=False, record_error=None):
        self.is_eager = is_eager
        self.record_error = record_error
        self.seen = []
        self.traceback = ""

    def record(self, context, state, value, traceback):
        if state == "SUCCESS" and self.record_error is not None:
            raise self.record_error
        self.seen.append(("record", state))
        self.traceback = traceback
        return state.encode()

    def follow_success(self, context, value):
        self.seen.append(("follow", value))

    async def follow_failure(self, context, exc, traceback):
        self.seen.append(("follow", repr(exc)))

    async def wait_for(self, coroutine):
        return asyncio.run(coroutine)


def traced(task, *args, surroundings=None, throw=False, **fields):
    surroundings = surroundings or Surroundings()
    context = Context(id="run-1", task=task.name, args=args, kwargs={}, called_directly=False, current=task, **fields)
    return in_one_step(Tracer(task, surroundings).trace(context, args, {}, throw=throw))


class Noting(Task):
    """Note which hooks are called, in order."""

    def __init__(self):
        self.calls = []

    def before_start(self, task_id, args, kwargs):
        self.calls.append(("before_start", task_id, args))

    def on_success(self, retval, task_id, args, kwargs):
        self.calls.append(("on_success", retval))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.calls.append(("on_failure", repr(exc), einfo.type.__name__))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.calls.append(("on_retry", repr(exc)))

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.calls.append(("after_return", status))


class Late(Task):
    """Have hooks that are coroutines."""

    seen: ClassVar[list[str]] = []

    async def before_start(self, task_id, args, kwargs):
        await asyncio.sleep(0)
        self.seen.append("before_start")

    async def on_success(self, retval, task_id, args, kwargs):
        await asyncio.sleep(0)
        self.seen.append("on_success")


@pytest.fixture
def noting(app):
    @app.task(base=Noting, name="shop.noting")
    def body(what):
        if isinstance(what, BaseException):
            raise what
        return what

    return body


class TestHooks:
    def test_a_run_that_returns_calls_them_in_order(self, noting):
        ended = traced(noting, 5)

        assert (ended.state, ended.value, ended.record) == ("SUCCESS", 5, b"SUCCESS")
        assert noting.calls == [("before_start", "run-1", (5,)), ("on_success", 5), ("after_return", "SUCCESS")]

    def test_a_run_that_raises_calls_those_of_failure(self, noting):
        ended = traced(noting, ValueError(1))

        assert (ended.state, repr(ended.value)) == ("FAILURE", "ValueError(1)")
        assert noting.calls[1:] == [("on_failure", "ValueError(1)", "ValueError"), ("after_return", "FAILURE")]

    def test_a_run_that_is_retried_has_not_returned(self, noting):
        ended = traced(noting, Retry("later", ValueError(1)))

        assert ended.state == "RETRY"
        assert noting.calls[1:] == [("on_retry", "ValueError(1)")]

    def test_the_traceback_of_a_retry_is_that_of_its_reason_if_it_was_raised(self, app):
        @app.task(name="shop.again")
        def again(reason):
            raise Retry("later", reason)

        def raised():
            try:
                return int("five")
            except ValueError as exc:
                return exc

        tracebacks = []
        for reason in (KeyError("made up"), raised()):
            surroundings = Surroundings()
            traced(again, reason, surroundings=surroundings)
            tracebacks.append(surroundings.traceback)

        assert 'raise Retry("later", reason)' in tracebacks[0]
        assert 'int("five")' in tracebacks[1]

    @pytest.mark.parametrize(("ending", "state"), [(Ignore(), "IGNORED"), (Reject("no"), "REJECTED")])
    def test_a_run_that_says_how_it_goes_on_calls_none_after_it(self, noting, ending, state):
        ended = traced(noting, ending)

        assert (ended.state, ended.record) == (state, None)
        assert [call[0] for call in noting.calls] == ["before_start"]

    def test_they_may_be_coroutines(self, app):
        task = app.task(base=Late, name="shop.late")(lambda: 1)
        Late.seen.clear()

        traced(task)

        assert Late.seen == ["before_start", "on_success"]

    def test_one_that_raises_after_the_outcome_is_logged_and_changes_nothing(self, app, caplog):
        class Broken(Task):
            def on_success(self, *args):
                raise RuntimeError("broken hook")

        task = app.task(base=Broken, name="shop.broken")(lambda: 1)

        ended = traced(task)

        assert ended.state == "SUCCESS"
        assert "broken hook" in caplog.text

    def test_it_is_seen_by_who_runs_the_task_in_its_own_process(self, app):
        class Broken(Task):
            def on_success(self, *args):
                raise RuntimeError("broken hook")

        task = app.task(base=Broken, name="shop.broken")(lambda: 1)

        with pytest.raises(RuntimeError, match="broken hook"):
            traced(task, surroundings=Surroundings(is_eager=True))

    def test_one_before_the_body_that_raises_fails_the_run(self, app):
        class Broken(Task):
            def before_start(self, *args):
                raise RuntimeError("not today")

        task = app.task(base=Broken, name="shop.broken")(lambda: 1)

        assert repr(traced(task).value) == "RuntimeError('not today')"

    def test_the_body_that_an_own_call_comes_to_is_in_the_run(self, app):
        class Guarded(Task):
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)

        @app.task(base=Guarded, bind=True)
        def told(self, again):
            inner = self(False) if again else None
            return self.request.id, self.request.called_directly, inner

        ended = traced(told, True)

        assert ended.value == ("run-1", False, (None, True, None))

    def test_an_own_call_happens_once_also_where_it_is_the_first_use_of_the_app(self, app):
        calls = []

        class Guarded(Task):
            def __call__(self, *args, **kwargs):
                calls.append(args)
                return super().__call__(*args, **kwargs)

        app.task(base=Guarded, name="shop.guarded")(lambda x: x)(1)

        assert calls == [(1,)]

    def test_a_retry_from_within_an_own_call_is_one(self, app):
        class Guarded(Task):
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)

        @app.task(base=Guarded, bind=True)
        def flaky(self):
            raise self.retry(exc=ValueError("not yet"))

        assert traced(flaky).state == "RETRY"

    def test_a_class_may_replace_the_call_of_the_body(self, app):
        class Timed(Task):
            def __call__(self, *args, **kwargs):
                return "timed", self.run(*args, **kwargs)

        task = app.task(base=Timed, name="shop.timed")(lambda: 1)

        assert traced(task).value == ("timed", 1)


class TestWhatFollows:
    def test_callbacks_come_before_the_record_so_that_it_can_name_them(self, noting):
        surroundings = Surroundings()

        traced(noting, 5, surroundings=surroundings, callbacks=[{"task": "x"}])

        assert surroundings.seen == [("follow", 5), ("record", "SUCCESS")]

    def test_a_value_that_cannot_be_recorded_fails_the_run(self, noting):
        surroundings = Surroundings(record_error=EncodeError("no JSON"))

        ended = traced(noting, 5, surroundings=surroundings)

        assert (ended.state, repr(ended.value)) == ("FAILURE", "EncodeError('no JSON')")
        assert surroundings.seen == [("record", "FAILURE")]

    def test_errbacks_that_fail_are_logged(self, noting, caplog):
        class Failing(Surroundings):
            async def follow_failure(self, context, exc, traceback):
                raise RuntimeError("no errback")

        ended = traced(noting, ValueError(1), surroundings=Failing(), errbacks=[{"task": "x"}])

        assert ended.state == "FAILURE"
        assert "no errback" in caplog.text


class TestRetryingByItself:
    def flaky(self, app, **options):
        @app.task(name="shop.flaky", autoretry_for=(ValueError,), **options)
        def flaky(kind):
            raise {"value": ValueError, "key": KeyError, "unicode": UnicodeError}[kind](1)

        return flaky

    def test_an_exception_that_is_named_is_tried_again(self, app):
        task = self.flaky(app, retry_kwargs={"countdown": 5})

        ended = traced(task, "value")

        assert (ended.state, str(ended.value)) == ("RETRY", "Retry in 5s: ValueError(1)")

    def test_another_one_is_not(self, app):
        assert traced(self.flaky(app), "key").state == "FAILURE"

    def test_nor_one_that_is_excepted(self, app):
        task = self.flaky(app, dont_autoretry_for=(UnicodeError,))

        assert traced(task, "unicode").state == "FAILURE"

    def test_after_too_many_the_exception_stands(self, app):
        ended = traced(self.flaky(app, max_retries=3), "value", retries=3)

        assert (ended.state, repr(ended.value)) == ("FAILURE", "ValueError(1)")

    @pytest.mark.parametrize(("retries", "delay"), [(0, 2), (3, 16), (9, 600)])
    def test_a_backoff_doubles_the_delay_up_to_a_maximum(self, app, retries, delay):
        task = self.flaky(app, retry_backoff=2, retry_jitter=False, max_retries=None)

        ended = traced(task, "value", retries=retries)

        assert str(ended.value) == f"Retry in {delay}s: ValueError(1)"

    def test_jitter_takes_a_part_of_it(self, app):
        task = self.flaky(app, retry_backoff=True, max_retries=None)

        delays = {traced(task, "value", retries=4).value.eta_at for _ in range(20)}

        assert len(delays) > 1


def test_a_receiver_that_leaves_the_program_leaves_no_run_behind(noting):
    def leave(**_):
        raise SystemExit(1)

    signals.task_postrun.connect(leave, sender=noting)

    with pytest.raises(SystemExit):
        traced(noting)

    assert current_context() is None


class TestThrowing:
    def test_what_the_body_raises_goes_to_the_caller(self, noting):
        with pytest.raises(ValueError, match="1"):
            traced(noting, ValueError("1"), surroundings=Surroundings(is_eager=True), throw=True)

    def test_ignoring_is_no_error(self, noting):
        assert traced(noting, Ignore(), surroundings=Surroundings(is_eager=True), throw=True).state == "IGNORED"

    def test_leaving_the_program_leaves_it(self, noting):
        with pytest.raises(SystemExit):
            traced(noting, SystemExit(1), surroundings=Surroundings(is_eager=True))

    def test_in_a_worker_it_ends_the_run_only(self, noting):
        assert traced(noting, SystemExit(1)).state == "FAILURE"


class TestSignals:
    @pytest.mark.parametrize(
        ("signal", "what", "expected"),
        [
            ("task_prerun", 5, {"task_id": "run-1", "args": (5,), "kwargs": {}}),
            ("task_postrun", 5, {"task_id": "run-1", "retval": 5, "state": "SUCCESS"}),
            ("task_success", 5, {"result": 5}),
            ("task_retry", Retry("later"), {}),
            ("task_failure", ValueError(1), {"task_id": "run-1", "args": (ValueError,)}),
        ],
    )
    def test_each_is_sent_with_what_celery_sends(self, noting, signal, what, expected):
        seen = []

        def receive(sender=None, **fields):
            seen.append((sender, fields))

        getattr(signals, signal).connect(receive)
        try:
            traced(noting, what)
        finally:
            getattr(signals, signal).disconnect(receive)

        [(sender, fields)] = seen
        provided = getattr(signals, signal).providing_args
        assert sender is noting
        assert provided <= fields.keys()
        assert {name: fields[name] for name in expected if name != "args" or what == 5} == {
            name: value for name, value in expected.items() if name != "args" or what == 5
        }


class TestLogging:
    def test_expected_exceptions_are_one_line(self, app, caplog):
        @app.task(name="shop.picky", throws=(KeyError,))
        def picky():
            raise KeyError("x")

        with caplog.at_level(logging.INFO, logger="celeriac.trace"):
            traced(picky)

        [line] = caplog.messages
        assert line == "Task shop.picky[run-1] raised expected: KeyError('x')"

    def test_an_exception_that_nobody_expects_is_in_the_record_from_the_body_on(self, app, caplog):
        @app.task(name="shop.bad")
        def bad():
            raise ValueError("no")

        traced(bad)

        [record] = [each for each in caplog.records if each.name == "celeriac.trace"]
        kind, error, traceback = record.exc_info
        assert (record.getMessage(), kind) == ("Task shop.bad[run-1] raised unexpected: ValueError('no')", ValueError)
        assert (error.args, traceback.tb_frame.f_code.co_name) == (("no",), "bad")
        assert record.data["traceback"].endswith("ValueError: no\n")

    def test_a_shadow_is_what_the_log_calls_the_task(self, noting, caplog):
        with caplog.at_level(logging.INFO, logger="celeriac.trace"):
            traced(noting, 5, shadow="Paying")

        assert caplog.messages[-1].startswith("Task Paying[run-1] succeeded in ")

    def test_a_long_result_is_cut_as_the_task_says(self, app, caplog):
        task = app.task(name="shop.long", resultrepr_maxsize=20)(lambda: "x" * 100)

        with caplog.at_level(logging.INFO, logger="celeriac.trace"):
            traced(task)

        assert len(caplog.messages[-1].partition("s: ")[2]) <= 20


def test_what_suspends_where_nothing_can_go_on_with_it_is_closed_and_named():
    closed = []

    async def waits():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="waits"):
        in_one_step(waits())

    assert closed
