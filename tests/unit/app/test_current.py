from __future__ import annotations

import threading

import pytest

from celeriac import Celery, current_app
from celeriac.app import current
from celeriac.exceptions import ImproperlyConfigured


def test_the_app_made_last_is_the_current_one():
    Celery("first")
    last = Celery("last")

    assert current.current_app() is last
    assert current_app == last
    assert current_app.main == "last"


def test_an_app_can_stand_aside_and_be_made_current_later():
    first = Celery("first")
    aside = Celery("aside", set_as_current=False)
    before = current.current_app()

    aside.set_current()

    assert (before, current.current_app()) == (first, aside)


def test_the_current_app_is_that_of_every_thread():
    app = Celery("shop")
    seen = []

    thread = threading.Thread(target=lambda: seen.append(current.current_app()))
    thread.start()
    thread.join()

    assert seen == [app]


def test_without_any_app_the_error_says_how_to_make_one():
    with pytest.raises(ImproperlyConfigured, match=r"app = Celery\('name'\)"):
        _ = current_app.main


def test_what_is_set_through_the_proxy_is_set_on_the_app():
    app = Celery("shop")

    current_app.main = "store"

    assert app.main == "store"
    assert repr(current_app) == repr(app)
