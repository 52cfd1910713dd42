from __future__ import annotations

from uuid import uuid4

import pytest

from celeriac import Celery, shared_task
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


def test_it_cannot_be_decorated_twice():
    @shared_task
    def once(): ...

    with pytest.raises(TypeError, match="decorate the function once"):
        shared_task(once)
