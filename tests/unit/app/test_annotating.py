from __future__ import annotations

import pytest

from celeriac import shared_task
from celeriac.app import shared
from celeriac.exceptions import ImproperlyConfigured


@pytest.fixture
def pay(app):
    @app.task(name="shop.pay", max_retries=1)
    def pay(): ...

    return pay


def test_a_task_that_is_named_comes_before_all(app, pay):
    app.conf.task_annotations = {"shop.pay": {"max_retries": 7}, "*": {"default_retry_delay": 5}}

    app.finalize()

    assert (pay.max_retries, pay.default_retry_delay) == (7, 5)


def test_tasks_made_later_are_annotated_too(app):
    app.conf.task_annotations = {"*": {"max_retries": 7}}
    app.finalize()

    late = app.task(name="shop.late")(lambda: None)

    assert late.max_retries == 7


def test_a_function_becomes_a_method(app, pay):
    def on_failure(self, *args):
        return self.name, args

    app.conf.task_annotations = {"*": {"on_failure": on_failure}}
    app.finalize()

    assert pay.on_failure(1, 2) == ("shop.pay", (1, 2))


def test_an_at_sign_wraps_what_is_there(app):
    task = app.task(name="shop.one")(lambda: 1)
    app.conf.task_annotations = {"shop.one": {"@__call__": lambda call: lambda self: ("wrapped", call(self))}}

    app.finalize()

    assert (task(), task.apply().get()) == (("wrapped", 1), ("wrapped", 1))


def test_the_first_use_of_a_task_is_enough(app):
    app.conf.task_annotations = {"*": {"priority": 7}}
    one, two, three = (app.task(name=name)(lambda: 1) for name in ("shop.one", "shop.two", "shop.three"))

    one.delay()

    assert app.finalized
    assert (one.priority, two.priority, three.priority) == (7, 7, 7)


def test_an_object_can_annotate(app, pay):
    class Slow:
        def annotate(self, task):
            return {"default_retry_delay": 60} if task.name.startswith("shop.") else None

    app.conf.task_annotations = [Slow()]
    app.finalize()

    assert pay.default_retry_delay == 60


def test_a_shared_task_is_annotated_once(app, monkeypatch):
    monkeypatch.setattr(shared, "_makers", [])

    @shared_task(name="shop.shared")
    def share():
        return 1

    def doubled(run):
        return staticmethod(lambda: 2 * run())

    app.conf.task_annotations = {"*": {"@run": doubled}}

    assert app.tasks["shop.shared"].run() == 2


def test_what_is_wrong_is_said_at_every_use(app, pay):
    class Broken:
        def annotate(self, task):
            raise LookupError(task.name)

    app.conf.task_annotations = Broken()

    for _ in range(3):
        with pytest.raises(LookupError, match="pay"):
            app.finalize()


def test_what_cannot_annotate_is_named(app, pay):
    app.conf.task_annotations = [5]

    with pytest.raises(ImproperlyConfigured, match="task_annotations must be dicts, or objects with `annotate`"):
        app.finalize()
