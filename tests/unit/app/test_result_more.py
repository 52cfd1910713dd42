"""What AsyncResult has beside the state and the value: records, parents, listeners, coroutines, copies."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import AsyncResult, Celery
from celeriac.app.context import Context, entered
from celeriac.app.eager_result import EagerResult
from celeriac.app.joining import allow_join_result
from celeriac.brokers.base import ResultMeta
from celeriac.exceptions import ResultBackendDisabled, TimeoutError
from celeriac.wire.results import exception_map, write_record
from celeriac.wire.stamps import stamp_ids

FAILED = exception_map(ValueError("no money"))
EXTENDED = {"name": "shop.pay", "args": [1], "kwargs": {"to": "x"}, "worker": "w1@h", "retries": 2, "queue": "pay"}


# -- what records tell ----------------------------------------------------------------------------------------------


def test_an_extended_record_tells_of_the_call(app, store):
    store("run-1", "SUCCESS", 5, extended=EXTENDED)
    result = app.AsyncResult("run-1", task_name="given")

    assert {name: getattr(result, name) for name in EXTENDED} == EXTENDED


def test_a_plain_record_knows_the_name_that_was_given_and_nothing_else(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1", task_name="shop.pay")

    looks = (result.name, result.args, result.kwargs, result.worker, result.retries, result.queue, result.date_done)
    assert looks == ("shop.pay", None, None, None, None, None, None)


def test_of_a_run_without_a_record_nothing_is_known(app):
    result = app.AsyncResult("run-1")

    looks = (result.name, result.args, result.kwargs, result.worker, result.retries, result.queue, result.date_done)
    assert looks == (None,) * 7


@pytest.mark.parametrize("text", ["2024-05-01T12:00:00+00:00", "2024-05-01T12:00:00", "2024-05-01T14:00:00+02:00"])
def test_the_end_of_a_run_is_a_datetime_with_its_zone(app, text):
    record = write_record(task_id="run-1", state="SUCCESS", result=5, date_done=text)
    app.backend.store([ResultMeta(task_id="run-1", state="SUCCESS", record=record)])

    assert app.AsyncResult("run-1").date_done == datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2024-13-45", "9" * 30])
def test_an_end_that_cannot_be_read_is_not_known(app, text):
    record = write_record(task_id="run-1", state="SUCCESS", result=5, date_done=text)
    app.backend.store([ResultMeta(task_id="run-1", state="SUCCESS", record=record)])

    assert app.AsyncResult("run-1").date_done is None


def test_exists_tells_pending_runs_from_those_never_heard_of(app, store):
    store("run-1", "PENDING", None)

    assert [app.AsyncResult(task_id).exists() for task_id in ("run-1", "run-2")] == [True, False]


def test_exists_asks_anew_although_the_result_is_known(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1")
    result.get()

    app.backend.forget(["run-1"])

    assert (result.exists(), result.state) == (False, "SUCCESS")


# -- get ------------------------------------------------------------------------------------------------------------


def test_arguments_come_in_the_order_of_celerys(app, store):
    store("run-1", "SUCCESS", 5)
    told: list[Any] = []

    value = app.AsyncResult("run-1").get(1.0, True, 0.5, True, True, lambda *args: told.append(args))

    assert (value, told) == (5, [("run-1", 5)])


def test_on_interval_is_called_while_nothing_happens(app, store):
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 3:
            store("run-1", "SUCCESS", 5)

    value = app.AsyncResult("run-1").get(timeout=60, interval=0.001, on_interval=tick)

    assert (value, len(ticks)) == (5, 3)


def test_on_interval_does_not_prolong_a_wait(app):
    with pytest.raises(TimeoutError, match=r"run-1 was still PENDING after 0\.02 s"):
        app.AsyncResult("run-1").get(timeout=0.02, interval=0.001, on_interval=lambda: None)


def test_on_message_is_given_the_record(app, store):
    store("run-1", "SUCCESS", 5, extended={"name": "shop.pay", "stamp": "x"})
    told: list[Any] = []

    app.AsyncResult("run-1").get(on_message=told.append)

    assert (told[0]["status"], told[0]["result"], told[0]["name"], told[0]["stamp"]) == ("SUCCESS", 5, "shop.pay", "x")


def test_on_message_is_given_the_exception_of_a_failure(app, store):
    store("run-1", "FAILURE", FAILED)
    told: list[Any] = []

    app.AsyncResult("run-1").get(propagate=False, on_message=told.append)

    assert isinstance(told[0]["result"], ValueError)


def test_the_states_that_are_raised_can_be_chosen(app, store):
    store("run-1", "FAILURE", FAILED)

    value = app.AsyncResult("run-1").get(PROPAGATE_STATES=frozenset({"REVOKED"}))

    assert isinstance(value, ValueError)


def test_the_traceback_names_the_task_when_its_name_is_known(app, store):
    store("run-1", "FAILURE", FAILED, traceback="Traceback: line 3", extended=EXTENDED)

    with pytest.raises(ValueError, match="no money") as caught:
        app.AsyncResult("run-1").get()

    assert caught.value.__notes__ == ["Raised in task shop.pay[run-1]:\n  Traceback: line 3"]


def test_the_setting_makes_real_tracebacks(app, store):
    pytest.importorskip("tblib")
    app.conf.task_remote_tracebacks = True
    text = 'Traceback (most recent call last):\n  File "/srv/tasks.py", line 8, in pay\nValueError: no money\n'
    store("run-1", "FAILURE", FAILED, traceback=text)

    with pytest.raises(ValueError, match="no money") as caught:
        app.AsyncResult("run-1").get()

    assert str(caught.traceback[-1].path) == "/srv/tasks.py"
    assert not hasattr(caught.value, "__notes__")


def test_maybe_throw_raises_what_is_known_and_waits_for_nothing(app, store):
    store("run-1", "FAILURE", FAILED)
    store("run-2", "STARTED", {"pid": 7})
    told: list[Any] = []

    with pytest.raises(ValueError, match="no money"):
        app.AsyncResult("run-1").maybe_throw()
    assert isinstance(app.AsyncResult("run-1").maybe_reraise(propagate=False), ValueError)
    assert app.AsyncResult("run-2").maybe_throw(callback=lambda *args: told.append(args)) == {"pid": 7}
    assert app.AsyncResult("run-3").maybe_throw() is None
    assert told == [("run-2", {"pid": 7})]


def test_throw_raises(app):
    with pytest.raises(KeyError):
        app.AsyncResult("run-1").throw(KeyError("x"))


def test_waiting_inside_a_task_can_be_allowed(app, store):
    store("run-1", "SUCCESS", 5)

    with entered(Context(id="run-2", task="shop.pay", called_directly=False)), allow_join_result():
        assert app.AsyncResult("run-1").get() == 5


# -- parents --------------------------------------------------------------------------------------------------------


def test_the_error_of_a_parent_is_raised_at_once(app, store):
    store("run-1", "FAILURE", FAILED)
    first = app.AsyncResult("run-1")
    last = app.AsyncResult("run-3", parent=app.AsyncResult("run-2", parent=first))

    with pytest.raises(ValueError, match="no money"):
        last.get(timeout=60)


def test_the_error_of_a_parent_ends_a_wait(app, store):
    store("run-1", "SUCCESS", 5)
    parent = app.AsyncResult("run-2", parent=app.AsyncResult("run-1"))
    threading.Timer(0.02, store, ("run-2", "FAILURE", FAILED)).start()

    with pytest.raises(ValueError, match="no money"):
        app.AsyncResult("run-3", parent=parent).get(timeout=60)


def test_parents_that_succeed_are_no_end(app, store):
    parent = app.AsyncResult("run-1")
    threading.Timer(0.01, store, ("run-1", "SUCCESS", 1)).start()
    threading.Timer(0.02, store, ("run-2", "SUCCESS", 2)).start()

    assert app.AsyncResult("run-2", parent=parent).get(timeout=60) == 2


def test_the_error_of_a_parent_is_not_raised_when_nobody_asks_for_it(app, store):
    store("run-1", "FAILURE", FAILED)
    store("run-2", "SUCCESS", 2)
    result = app.AsyncResult("run-2", parent=app.AsyncResult("run-1"))

    assert (result.get(follow_parents=False), result.get(propagate=False)) == (2, 2)
    with pytest.raises(ValueError, match="no money"):
        result.get()


def test_a_parent_may_have_run_in_place(app, store):
    result = app.AsyncResult("run-2", parent=EagerResult("run-1", ValueError("no money"), "FAILURE"))

    with pytest.raises(ValueError, match="no money"):
        result.get(timeout=0)


def test_a_wait_for_a_run_with_parents_ends_with_its_timeout(app):
    with pytest.raises(TimeoutError):
        app.AsyncResult("run-2", parent=app.AsyncResult("run-1")).get(timeout=0.01)


def test_forgetting_takes_the_parents_along(app, store):
    store("run-1", "SUCCESS", 1)
    store("run-2", "SUCCESS", 2)
    result = app.AsyncResult("run-2", parent=app.AsyncResult("run-1"))
    result.get()

    result.forget()

    assert (result.state, result.parent.state, result.exists()) == ("PENDING", "PENDING", False)


# -- being told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [AsyncResult.get, AsyncResult.ready, lambda result: asyncio.run(result.aget())])
def test_then_is_called_once_when_somebody_reads_the_result(app, store, ask):
    told: list[Any] = []
    result = app.AsyncResult("run-1").then(told.append)
    store("run-1", "SUCCESS", 5)
    before = list(told)

    ask(result)
    ask(result)

    assert (before, told) == ([], [result])


def test_then_is_called_at_once_when_the_end_is_known(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1")
    told: list[Any] = []
    result.get()

    result.then(told.append)

    assert told == [result]


@pytest.mark.parametrize("make", ["stored", "eager"])
def test_then_tells_of_errors_too(app, store, make):
    store("run-1", "FAILURE", FAILED)
    result = app.AsyncResult("run-1") if make == "stored" else EagerResult("run-1", ValueError("x"), "FAILURE")
    ended: list[Any] = []
    errors: list[Any] = []

    result.then(ended.append, errors.append)
    result.ready()

    assert (ended, [type(error) for error in errors]) == ([result], [ValueError])


def test_then_may_hold_what_it_calls_weakly(app, store):
    class Listener:
        def tell(self, result):
            told.append(result)

    told: list[Any] = []
    kept, gone = Listener(), Listener()
    result = app.AsyncResult("run-1").then(kept.tell, weak=True).then(gone.tell, weak=True)
    del gone
    gc.collect()
    store("run-1", "SUCCESS", 5)

    result.ready()

    assert told == [result]


# -- coroutines -----------------------------------------------------------------------------------------------------


def test_a_result_can_be_awaited(app, store):
    async def wait():
        result = app.AsyncResult("run-1")
        asyncio.get_running_loop().call_later(0.01, store, "run-1", "SUCCESS", 5)
        before = (await result.aready(), await result.astate())
        return before, await result, await result.aready(), await result.astate()

    assert asyncio.run(wait()) == ((False, "PENDING"), 5, True, "SUCCESS")


def test_awaiting_raises_what_the_run_raised(app, store):
    store("run-1", "FAILURE", FAILED)
    result = app.AsyncResult("run-1")

    with pytest.raises(ValueError, match="no money"):
        asyncio.run(result.aget())
    assert isinstance(asyncio.run(result.aget(propagate=False)), ValueError)


def test_awaiting_ends_with_its_timeout(app):
    with pytest.raises(TimeoutError, match=r"run-1 was still PENDING after 0\.01 s"):
        asyncio.run(app.AsyncResult("run-1").aget(timeout=0.01))


def test_awaiting_raises_the_error_of_a_parent(app, store):
    async def wait():
        asyncio.get_running_loop().call_later(0.01, store, "run-1", "FAILURE", FAILED)
        await app.AsyncResult("run-2", parent=app.AsyncResult("run-1")).aget(timeout=60)

    with pytest.raises(ValueError, match="no money"):
        asyncio.run(wait())


def test_awaiting_inside_a_task_is_refused(app):
    run = Context(id="run-2", task="shop.pay", called_directly=False)

    with entered(run), pytest.raises(RuntimeError, match="waits for result run-1"):
        asyncio.run(app.AsyncResult("run-1").aget())


def test_an_await_that_is_cancelled_can_be_made_again(app, store):
    async def wait():
        result = app.AsyncResult("run-1")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(result.aget(), 0.01)
        store("run-1", "SUCCESS", 5)
        return await result

    assert asyncio.run(wait()) == 5


def test_a_result_can_be_forgotten_in_a_coroutine(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1")
    result.get()

    asyncio.run(result.aforget())

    assert result.state == "PENDING"


def test_a_thousand_results_are_awaited_at_once(app, store):
    async def wait():
        results = [app.AsyncResult(f"run-{number}") for number in range(1000)]
        waiting = asyncio.gather(*results)
        await asyncio.sleep(0)
        for number in range(1000):
            store(f"run-{number}", "SUCCESS", number)
        return await waiting

    assert asyncio.run(wait()) == list(range(1000))


def test_a_result_of_a_run_in_place_can_be_awaited():
    async def wait():
        result: EagerResult[int] = EagerResult("run-1", 5, "RETRY")
        return await result, await result.aready(), await result.astate()

    assert asyncio.run(wait()) == (None, True, "RETRY")


# -- disabled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["disabled", "disabled://"])
def test_without_a_backend_every_question_says_so(url):
    result = Celery(broker="memory://", backend=url).AsyncResult("run-1")

    asked = [
        lambda: result.state,
        lambda: result.result,
        lambda: result.date_done,
        lambda: result.children,
        result.ready,
        result.get,
        result.forget,
        result.exists,
        result.maybe_throw,
        lambda: asyncio.run(result.aget()),
        lambda: asyncio.run(result.astate()),
        lambda: asyncio.run(result.aforget()),
    ]
    for ask in asked:
        with pytest.raises(ResultBackendDisabled, match="`result_backend`"):
            ask()


# -- revoking, and the result as a value ----------------------------------------------------------------------------


def test_what_bears_a_stamp_is_revoked(app):
    stamps = stamp_ids({"customer": ["x"]})

    app.AsyncResult("run-1").revoke_by_stamped_headers({"customer": "x"})

    assert set(app.broker.revoked([*stamps, "run-1"])) == set(stamps)


def test_results_without_an_id_are_refused(app):
    with pytest.raises(ValueError, match="needs the id of a run"):
        app.AsyncResult(None)


def test_a_pickle_belongs_to_the_app_that_is_current(app, store):
    store("run-1", "SUCCESS", 5)
    result = app.AsyncResult("run-1", task_name="shop.pay", parent=app.AsyncResult("run-0"))

    again = pickle.loads(pickle.dumps(result))

    assert (again, again.name, again.parent, again.app) == (result, "shop.pay", "run-0", app)
    assert again.get(follow_parents=False) == 5


def test_a_copy_has_the_same_app(app):
    Celery("other", broker="memory://")

    assert copy.copy(app.AsyncResult("run-1", task_name="shop.pay")).app is app


def test_results_are_equal_to_nothing_but_results_and_ids(app):
    result = app.AsyncResult("run-1")

    assert result == "run-1"
    assert result != 7
    assert result != "run-2"


async def test_who_has_waited_in_vain_is_told_at_once_although_the_store_does_not_answer(app, monkeypatch):
    monkeypatch.setattr("celeriac.app.result._STATE_WITHIN", 0.01)

    async def never(task_id: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(app.backend, "get_async", never)

    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError, match=r"run-1 was still PENDING after 0\.01 s"):
            await app.AsyncResult("run-1").aget(timeout=0.01)
