from __future__ import annotations

import copy
import pickle
import threading
from uuid import uuid4

import pytest

from celeriac import Celery, Task, shared_task
from celeriac.app import shared


@pytest.fixture(autouse=True)
def no_others(monkeypatch):
    monkeypatch.setattr(shared, "_makers", [])


def app_named(name):
    return Celery(name, broker=f"memory://{uuid4()}")


def test_every_app_has_it_whichever_was_made_first():
    before = app_named("before")
    before.finalize()

    @shared_task(name="shop.double", bind=True)
    def double(self, x):
        return self.app.main, 2 * x

    after = app_named("after")

    assert before.tasks["shop.double"](2) == ("before", 4)
    assert after.tasks["shop.double"](2) == ("after", 4)


def test_calling_it_calls_that_of_the_current_app():
    @shared_task
    def which():
        return None

    first, second = app_named("first"), app_named("second")

    assert (which.app, which.name) == (second, f"{__name__}.which")
    first.set_current()
    assert which.app is first


def test_a_thread_that_comes_while_they_are_given_waits_for_them():
    app, seen = app_named("busy"), []
    thread = threading.Thread(target=lambda: seen.append("shop.second" in app.tasks))

    class First(Task):
        @classmethod
        def on_bound(cls, taker):
            if taker is app:  # those of other tests get shared tasks as well
                thread.start()
                thread.join(0.2)  # it must not end before the other task is there

    shared_task(name="shop.first", base=First)(lambda: 1)
    shared_task(name="shop.second")(lambda: 2)

    app.finalize()
    thread.join(60)

    assert seen == [True]


def test_it_looks_like_a_task_and_like_its_function():
    @shared_task
    def documented():
        """Say what it does."""

    assert isinstance(documented, Task)
    assert (documented.__doc__, documented.__module__) == ("Say what it does.", __name__)


def test_it_can_be_pickled_and_copied():
    @shared_task(name="shop.carried")
    def carried(): ...

    app = app_named("carrier")

    assert pickle.loads(pickle.dumps(carried)) is app.tasks["shop.carried"]
    assert copy.deepcopy([carried]) == [app.tasks["shop.carried"]]


def test_it_cannot_be_decorated_twice():
    @shared_task
    def once(): ...

    with pytest.raises(TypeError, match="decorate the function once"):
        shared_task(once)
