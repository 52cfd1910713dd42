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


def test_without_any_app_a_default_one_is_made_once(monkeypatch):
    monkeypatch.setattr(current, "_current", None)
    monkeypatch.setattr(current, "_default", None)

    first = current.current_app()

    assert (first.main, current.current_app() is first) == ("default", True)


def test_an_app_can_be_set_as_the_default_one(monkeypatch):
    monkeypatch.setattr(current, "_current", None)
    monkeypatch.setattr(current, "_default", None)
    app = Celery("shop", set_as_current=False)

    app.set_default()

    assert current.current_app() is app
    assert current.app_or_default() is app


def test_whoever_wants_no_default_app_is_told_how_to_make_one(monkeypatch):
    monkeypatch.setattr(current, "_current", None)
    monkeypatch.setattr(current, "_default", None)
    monkeypatch.setenv("C_STRICT_APP", "1")

    with pytest.raises(ImproperlyConfigured, match="make one with `app = Celery"):
        current.current_app()


def test_what_is_set_through_the_proxy_is_set_on_the_app():
    app = Celery("shop")

    current_app.main = "store"

    assert app.main == "store"
    assert repr(current_app) == repr(app)
