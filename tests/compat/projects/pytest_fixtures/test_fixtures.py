"""A suite that leaves apps and workers to Celery's pytest plugin."""

import pytest
from celery import chain, group, states
from library import ClassTask, shout


def test_an_app_of_the_test(celery_app, celery_worker):
    @celery_app.task
    def add(x, y):
        return x + y

    celery_worker.reload()
    assert add.delay(1, 2).get(timeout=10) == 3
    assert chain(add.s(1, 1), add.s(5)).apply_async().get(timeout=10) == 7
    assert group(add.s(1, 1), add.s(2, 2))().get(timeout=10) == [2, 4]


def test_a_shared_task_runs(celery_session_app, celery_session_worker):
    assert shout.delay("hello").get(timeout=10) == "HELLO"


def test_a_class_of_tasks_runs(celery_session_app, celery_session_worker):
    assert celery_session_app.tasks["library.ClassTask"].delay(5).get(timeout=10) == -5
    assert ClassTask.name == "library.ClassTask"


def test_a_task_of_the_test(celery_session_app, celery_session_worker):
    @celery_session_app.task
    def mul(x, y):
        return x * y

    celery_session_worker.reload()
    assert mul.delay(4, 4).get(timeout=10) == 16


@pytest.mark.celery(task_always_eager=True, task_eager_propagates=True)
def test_settings_by_a_mark(celery_app):
    @celery_app.task
    def fails():
        raise KeyError("gone")

    assert celery_app.conf.task_always_eager
    with pytest.raises(KeyError):
        fails.delay()


def test_states(celery_app, depends_on_current_app):
    from celery import current_app

    assert current_app._get_current_object() is celery_app
    assert states.READY_STATES >= {states.SUCCESS, states.FAILURE}
