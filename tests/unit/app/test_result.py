from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from celeriac import AsyncResult, Celery
from celeriac.app.context import Context, entered
from celeriac.exceptions import RemoteError, ResultBackendDisabled, TaskRevokedError, TimeoutError
from celeriac.wire.results import exception_map

FAILED = exception_map(ValueError("no money", 7))


def test_nothing_known_is_pending(app):
    result = app.AsyncResult("run-1")

    looks = (result.state, result.status, result.ready(), result.successful(), result.failed(), result.result)
    assert looks == ("PENDING", "PENDING", False, False, False, None)


def test_a_run_that_returned(app, store):
    store("run-1", "SUCCESS", {"sum": 5})
    result = app.AsyncResult("run-1")

    assert result.get() == result.result == result.info == {"sum": 5}
    assert (result.state, result.ready(), result.successful(), result.failed()) == ("SUCCESS", True, True, False)


def test_a_run_that_raised(app, store):
    store("run-1", "FAILURE", FAILED, traceback="Traceback: line 3")
    result = app.AsyncResult("run-1")

    assert (result.state, result.ready(), result.successful(), result.failed()) == ("FAILURE", True, False, True)
    assert isinstance(result.result, ValueError)
    assert result.result.args == ("no money", 7)
    assert result.traceback == "Traceback: line 3"


def test_get_raises_what_the_run_raised_and_shows_where(app, store):
    store("run-1", "FAILURE", FAILED, traceback="Traceback: line 3")

    with pytest.raises(ValueError, match="no money") as caught:
        app.AsyncResult("run-1").get()

    assert caught.value.__notes__ == ["Raised in task run-1:\n  Traceback: line 3"]


def test_get_can_return_the_exception_instead(app, store):
    store("run-1", "FAILURE", FAILED)

    assert isinstance(app.AsyncResult("run-1").get(propagate=False), ValueError)


def test_a_revoked_run_raises_too(app, store):
    store("run-1", "REVOKED", exception_map(TaskRevokedError("expired")))

    with pytest.raises(TaskRevokedError, match="expired"):
        app.AsyncResult("run-1").get()


def test_an_exception_that_is_not_known_here_stands_as_a_remote_error(app, store):
    store("run-1", "FAILURE", {"exc_type": "OutOfStock", "exc_message": ["pear"], "exc_module": "shop.errors"})

    with pytest.raises(RemoteError, match="OutOfStock"):
        app.AsyncResult("run-1").get()


def test_a_run_that_has_started_tells_where(app, store):
    store("run-1", "STARTED", {"pid": 7, "hostname": "w1@host"})
    result = app.AsyncResult("run-1")

    assert (result.state, result.ready(), result.info) == ("STARTED", False, {"pid": 7, "hostname": "w1@host"})


@pytest.mark.parametrize(("stored", "expected"), [(FAILED, ValueError), (None, type(None))])
def test_a_run_that_waits_for_its_retry_tells_why_if_there_was_a_reason(app, store, stored, expected):
    store("run-1", "RETRY", stored)
    result = app.AsyncResult("run-1")

    assert (result.state, result.ready(), type(result.info)) == ("RETRY", False, expected)


def test_get_waits_for_the_end(app, store):
    store("run-1", "STARTED", {})
    ending = threading.Timer(0.02, store, ["run-1", "SUCCESS", 5])
    ending.start()

    assert app.AsyncResult("run-1").get(timeout=60) == 5

    ending.join()


@pytest.mark.parametrize(
    ("timeout", "error", "text"),
    [
        ("1", TypeError, "timeout must be a number of seconds, got '1'"),
        (timedelta(seconds=1), TypeError, "timeout must be a number of seconds, got datetime.timedelta(seconds=1)"),
        (float("nan"), ValueError, "timeout must be a finite number of seconds, got nan"),
    ],
)
def test_a_timeout_that_is_no_number_of_seconds_is_refused(app, timeout, error, text):
    with pytest.raises(error) as caught:
        app.AsyncResult("run-1").get(timeout=timeout)

    assert str(caught.value) == text


def test_a_timeout_is_not_looked_at_where_the_result_is_known(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1")

    assert result.ready()
    assert result.get(result.id) == 5  # as celery-progress asks


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_wait_that_ends_too_early_names_task_state_and_seconds(app, store, timeout):
    store("run-1", "STARTED", {})

    with pytest.raises(TimeoutError) as caught:
        app.AsyncResult("run-1").get(timeout=timeout)

    assert str(caught.value) == f"task run-1 was still STARTED after {timeout} s of waiting for its result"


def test_a_final_state_is_read_once(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1")
    before = result.get()

    app.backend.forget(["run-1"])

    assert (before, result.get(), result.state) == (5, 5, "SUCCESS")


def test_get_tells_a_callback_first(app, store):
    store("run-1", "SUCCESS", 5)
    told = []

    app.AsyncResult("run-1").get(callback=lambda task_id, value: told.append((task_id, value)))

    assert told == [("run-1", 5)]


def test_a_call_that_asked_for_no_result_returns_none_at_once(app):
    @app.task(ignore_result=True)
    def quiet(): ...

    assert quiet.delay().get() is None


def test_without_a_backend_the_error_names_the_setting():
    app = Celery(broker="memory://", backend="disabled")

    with pytest.raises(ResultBackendDisabled, match="`result_backend`"):
        app.AsyncResult("run-1").get()
    with pytest.raises(NotImplementedError):
        _ = app.AsyncResult("run-1").state


def test_waiting_inside_a_task_is_refused(app, store):
    store("run-1", "SUCCESS", 5)
    run = Context(id="run-2", task="shop.pay", called_directly=False)

    with entered(run):
        with pytest.raises(RuntimeError, match=r"'shop\.pay' \(id run-2\) waits for result run-1"):
            app.AsyncResult("run-1").get()
        insisted = app.AsyncResult("run-1").get(disable_sync_subtasks=False)

    assert insisted == 5


def test_waiting_in_a_task_that_was_called_as_a_function_is_allowed(app, store):
    store("run-1", "SUCCESS", 5)

    with entered(Context(task="shop.pay")):
        assert app.AsyncResult("run-1").get() == 5


def test_a_result_is_printed_as_its_id_and_compared_by_it(app):
    result = app.AsyncResult("run-1")

    assert (str(result), repr(result)) == ("run-1", "<AsyncResult: run-1>")
    assert result == AsyncResult("run-1", app=app) == "run-1"
    assert result != AsyncResult("run-2", app=app)
    assert len({result, AsyncResult("run-1", app=app)}) == 1
    assert (result.id, result.task_id) == ("run-1", "run-1")


def test_a_result_belongs_to_the_current_app_when_no_other_is_named(app, store):
    store("run-1", "SUCCESS", 5)

    assert AsyncResult("run-1").get() == 5


def test_the_form_in_records_is_celerys(app):
    assert app.AsyncResult("run-1").as_tuple() == (("run-1", None), None)
