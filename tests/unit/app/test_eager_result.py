from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from celeriac.app.context import Context, entered
from celeriac.app.eager_result import EagerResult
from celeriac.app.result import AsyncResult
from celeriac.exceptions import TaskRevokedError


def test_a_run_that_returned():
    result: EagerResult[Any] = EagerResult("run-1", 5, "SUCCESS", name="shop.add")

    looks = (result.get(), result.result, result.info, result.state, result.status, result.traceback)
    assert looks == (5, 5, 5, "SUCCESS", "SUCCESS", None)
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert (str(result), repr(result)) == ("run-1", "<EagerResult: run-1>")


def test_a_run_that_raised():
    error = ValueError("no money")
    result: EagerResult[Any] = EagerResult("run-1", error, "FAILURE", "Traceback: line 3")

    with pytest.raises(ValueError, match="no money") as caught:
        result.get()

    assert caught.value is error
    assert (result.get(propagate=False), result.result, result.traceback) == (error, error, "Traceback: line 3")
    assert (result.ready(), result.successful(), result.failed()) == (True, False, True)


def test_asking_twice_adds_nothing_to_the_exception():
    result: EagerResult[Any] = EagerResult("run-1", ValueError("no money"), "FAILURE", "Traceback: line 3")

    with pytest.raises(ValueError, match="no money"):
        result.get()
    with pytest.raises(ValueError, match="no money") as caught:
        result.get()

    assert not hasattr(caught.value, "__notes__")


def test_what_is_no_exception_is_raised_within_one():
    with pytest.raises(Exception, match="out of order"):
        EagerResult("run-1", "out of order", "FAILURE").get()


def test_a_run_that_is_to_be_retried_has_ended_without_a_value():
    result: EagerResult[Any] = EagerResult("run-1", ValueError("again"), "RETRY")

    assert (result.ready(), result.get(), repr(result.result)) == (True, None, "ValueError('again')")


def test_a_result_that_is_revoked_raises_so():
    result: EagerResult[Any] = EagerResult("run-1", 5, "SUCCESS", name="shop.add")

    result.revoke(terminate=True)

    assert (result.state, result.ready(), repr(result.result)) == ("REVOKED", True, "TaskRevokedError('revoked')")
    assert isinstance(result.get(propagate=False), TaskRevokedError)
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get()


def test_get_takes_what_the_get_of_other_results_takes():
    told = []
    result: EagerResult[Any] = EagerResult("run-1", 5, "SUCCESS")

    value = result.get(1.0, True, 0.5, interval=0.5, no_ack=False, callback=lambda *args: told.append(args))

    assert (value, told) == (5, [("run-1", 5)])


def test_wait_waits_for_nothing():
    assert EagerResult("run-1", 5, "SUCCESS").wait() == 5


def test_it_may_be_read_inside_a_task():
    with entered(Context(id="run-2", task="shop.pay", called_directly=False)):
        assert EagerResult("run-1", 5, "SUCCESS").get() == 5


def test_it_is_equal_to_other_results_of_its_run(app):
    result: EagerResult[Any] = EagerResult("run-1", 5, "SUCCESS")

    assert isinstance(result, AsyncResult)
    assert result == AsyncResult("run-1", app=app) == "run-1"


@pytest.mark.parametrize("again", [copy.copy, lambda result: pickle.loads(pickle.dumps(result))])
def test_copies_and_pickles_tell_the_same(again):
    result = again(EagerResult("run-1", {"sum": 5}, "SUCCESS", "text", "shop.add"))

    assert (result.id, result.get(), result.state, result.traceback) == ("run-1", {"sum": 5}, "SUCCESS", "text")
