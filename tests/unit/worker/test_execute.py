from __future__ import annotations

import functools
import logging
import os
import re
from uuid import uuid4

import pytest

from celeriac import Celery, Task
from celeriac.app.signals import task_internal_error, task_prerun
from celeriac.exceptions import TaskCancelled
from celeriac.wire.results import read_record
from celeriac.worker import packets
from celeriac.worker.execute import Executor
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.orders import Interrupt, send_order
from celeriac.worker.runs import Ended, Run


async def twice(number):
    return 2 * number


@functools.wraps(twice)
def wrapped(number):
    return twice(number)


def test_a_coroutine_that_a_plain_wrapper_returns_is_awaited():
    app = Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)
    task = app.task(name="shop.twice")(wrapped)
    executor = Executor(app, "w@here")

    outcome = executor.execute(Run(1, app.builder.build(task, (21,), {}), redelivered=False, crashes=0))

    executor.close()
    assert outcome.state == "SUCCESS"
    assert outcome.record is not None
    assert read_record(outcome.record).result == 42


@pytest.fixture
def app():
    return Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)


def executed(app, task, *args):
    executor = Executor(app, "w@here")
    outcome = executor.execute(Run(1, app.builder.build(task, args, {}), redelivered=False, crashes=0))
    executor.close()
    return outcome


@pytest.mark.parametrize("hook", ["on_success", "after_return"])
def test_a_hook_that_leaves_the_program_leaves_the_run_as_it_ended(app, hook):
    def leave(*_):
        raise SystemExit(1)

    leaving = type("Leaving", (Task,), {hook: leave})

    outcome = executed(app, app.task(base=leaving, name="shop.work")(lambda: 5))

    assert outcome.state == "SUCCESS"


def test_leaving_the_program_can_be_tried_again_until_there_were_too_many(app):
    @app.task(name="shop.leave", autoretry_for=(SystemExit,), max_retries=0)
    def leave():
        raise SystemExit(1)

    outcome = executed(app, leave)

    assert outcome.state == "FAILURE"


def test_what_is_raised_around_the_body_fails_the_run_and_is_told(app, caplog):
    told = []

    def leave(**_):
        raise SystemExit(7)

    def hear(exception, task_id, **_):
        told.append((repr(exception), task_id))

    work = app.task(name="shop.work")(lambda: 5)
    task_prerun.connect(leave, sender=work)
    task_internal_error.connect(hear, sender=work)

    with caplog.at_level(logging.CRITICAL, "celeriac.trace"):
        outcome = executed(app, work)

    assert outcome.state == "FAILURE"
    assert [what for what, _ in told] == ["SystemExit(7)"]
    assert read_record(outcome.record).task_id == told[0][1]
    assert "SystemExit(7)" in caplog.text


def test_the_traceback_of_a_coroutine_begins_in_its_body(app):
    @app.task(name="shop.pay")
    async def pay():
        raise ValueError("no money")

    record = read_record(executed(app, pay).record)

    assert (record.traceback or "").count("  File ") == 1


def test_arguments_that_became_unwritable_do_not_hide_why_a_run_failed(app):
    app.conf.result_extended = True

    @app.task(name="shop.spoil")
    def spoil(values):
        values.append(object())
        raise ValueError("the reason")

    outcome = executed(app, spoil, [1])

    assert outcome.state == "FAILURE"
    assert "the reason" in str(read_record(outcome.record).result)


# -- runs that are told, and runs that are over ---------------------------------------------------------------------


def test_a_run_that_was_told_before_its_body_began_is_cancelled(app):
    ours, theirs = packets.pair()
    interrupts = Interrupts(theirs)
    task = app.task(name="shop.work")(lambda: pytest.fail("it has begun"))
    executor = Executor(app, "w@here", interrupts)
    send_order(ours, Interrupt(1, "cancel", None, "why", "amy"))
    assert interrupts.obey() is None

    outcome = executor.execute(Run(1, app.builder.build(task, (), {}), redelivered=False, crashes=0))

    executor.close()
    interrupts.close()
    ours.close()
    assert outcome.state == "REVOKED"
    assert outcome.record is not None
    assert read_record(outcome.record).result["exc_message"] == ["why", "amy"]


def test_what_was_to_follow_a_run_does_not_follow_one_that_was_cancelled(app):
    @app.task(bind=True, name="shop.work")
    def work(self):
        self.request.cancelled = TaskCancelled("why")  # as an interrupt notes it
        return self.retry(throw=False)

    outcome = executed(app, work)

    assert outcome.state == "REVOKED"
    assert outcome.publish == ()


@pytest.mark.parametrize(
    ("ended", "called"),
    [
        (Ended("FAILURE", "TimeLimitExceeded", (3,)), [("on_failure", (3,)), ("after_return", "FAILURE")]),
        (
            Ended("REVOKED", "TaskCancelled", ("why", "amy")),
            [("on_cancel", ("why", "amy")), ("after_return", "REVOKED")],
        ),
        (Ended("REVOKED", "TaskRevokedError", ("terminated",)), [("after_return", "REVOKED")]),
    ],
)
def test_what_is_called_about_a_run_that_is_over_does_not_run_it(app, ended, called):
    told: list[tuple[str, object]] = []

    class Telling(Task):
        def on_failure(self, exc, *_):
            told.append(("on_failure", exc.args))

        def on_cancel(self, exc, *_):
            told.append(("on_cancel", exc.args))

        def after_return(self, status, *_):
            told.append(("after_return", status))

    task = app.task(base=Telling, name="shop.work")(lambda: pytest.fail("it was run"))
    executor = Executor(app, "w@here")

    outcome = executor.execute(Run(1, app.builder.build(task, (), {}), redelivered=False, crashes=0, ended=ended))

    executor.close()
    assert (outcome.number, outcome.record, outcome.publish) == (1, None, ())
    assert told == called


def test_a_hook_of_a_run_that_is_over_may_fail(app):
    class Failing(Task):
        def on_failure(self, *_):
            raise SystemExit(1)

    task = app.task(base=Failing, name="shop.work")(lambda: None)
    executor = Executor(app, "w@here")
    ended = Ended("FAILURE", "WorkerLostError", ("gone",))

    outcome = executor.execute(Run(1, app.builder.build(task, (), {}), redelivered=False, crashes=0, ended=ended))

    executor.close()
    assert outcome.number == 1


def test_a_run_that_begins_is_told_to_those_who_debug(app, caplog):
    task = app.task(name="shop.pay")(lambda: None)
    caplog.set_level(logging.DEBUG, logger="celeriac")

    executed(app, task)

    [line] = [one.getMessage() for one in caplog.records if "accepted" in one.getMessage()]
    assert re.fullmatch(rf"Task accepted: shop\.pay\[[0-9a-f-]+\] pid:{os.getpid()}", line)
