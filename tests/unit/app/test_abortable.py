from __future__ import annotations

import pytest

from celeriac.app.abortable import AbortableAsyncResult, AbortableTask
from celeriac.app.context import Context, entered


@pytest.fixture
def count(app):
    @app.task(bind=True, base=AbortableTask, name="shop.count")
    def count(self):
        return "stopped" if self.is_aborted() else "done"

    return count


def test_calls_give_results_that_can_be_aborted(count):
    result = count.delay()

    assert type(result) is AbortableAsyncResult
    assert not result.is_aborted()
    result.abort()
    assert result.is_aborted()
    assert result.state == "ABORTED"
    assert not result.ready()


def test_a_body_sees_that_its_run_was_aborted(count):
    result = count.delay()
    with entered(Context(id=result.id, task=count.name, current=count, called_directly=False)):
        before = count.is_aborted()
        result.abort()
        after = count.is_aborted()

    assert (before, after) == (False, True)


def test_a_body_sees_that_its_run_was_cancelled(count):
    with entered(Context(id="run-1", task=count.name, current=count, called_directly=False, is_cancelled=True)):
        assert count.is_aborted()


def test_a_run_that_has_ended_is_left_alone(app, store, count):
    store("run-1", "SUCCESS", 5)
    result = count.AsyncResult("run-1")

    result.abort()

    assert result.get(timeout=1) == 5


def test_outside_of_any_run_nothing_is_aborted(count):
    assert not count.is_aborted()
