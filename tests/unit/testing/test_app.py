from __future__ import annotations

import gc
import pickle

import pytest

from celeriac import Celery, current_app
from celeriac.app.current import app_or_default, kept_apps
from celeriac.brokers.memory.store import Store, _stores, store_named
from celeriac.testing import ManualClock, TestApp, in_memory
from celeriac.testing.app import set_trap, setup_default_app


@pytest.fixture(autouse=True)
def as_it_was():
    with kept_apps():
        yield


def shop(**settings) -> Celery:
    app = Celery("shop", broker="redis://nobody:6379/0", set_as_current=False, **settings)
    app.task(name="shop.pay")(lambda amount: amount)
    return app


def test_apps_for_tests_have_nothing_in_common():
    one, other = TestApp(), TestApp()

    one.send_task("shop.pay", (12,))

    assert [depth.ready for depth in one.broker.depths()] == [1]
    assert other.broker.depths() == []
    assert one.broker.url != other.broker.url


def test_an_app_for_tests_is_not_led_to_a_broker_of_the_machine(monkeypatch):
    monkeypatch.setenv("CELERIAC_BROKER_URL", "redis://production:6379/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://production:6379/0")

    app = TestApp()

    assert app.broker.url.startswith("memory://")
    assert app.backend is not None
    assert app.backend.url == app.broker.url


@pytest.mark.parametrize("config", [{"task_default_queue": "x"}, {"CELERY_DEFAULT_QUEUE": "x"}])
def test_settings_of_a_test_are_said_by_new_or_old_names(config):
    assert TestApp(config=config).conf.task_default_queue == "x"


def test_an_app_for_tests_that_was_pickled_has_the_same_store():
    app = TestApp("shop", {"task_default_queue": "x"})
    app.send_task("shop.pay")

    copy = pickle.loads(pickle.dumps(app))

    assert (type(copy), copy.main, copy.conf.task_default_queue) == (TestApp, "shop", "x")
    assert [depth.ready for depth in copy.broker.depths()] == [1]


def test_pytest_does_not_take_it_for_a_test():
    assert TestApp.__test__ is False


def test_an_app_of_yours_is_in_memory_for_a_while():
    app = shop(result_backend="redis://nobody:6379/1")

    with in_memory(app) as same:
        app.tasks["shop.pay"].delay(12)
        inside = app.broker.url, app.backend is not None and app.backend.url

    assert same is app
    assert inside[0].startswith("memory://test-")
    assert inside[1] == inside[0]
    assert app.broker.url == "redis://nobody:6379/0"


def test_what_it_was_overridden_with_before_holds_again():
    app = shop()
    app.conf.override({"broker_url": "memory://before", "task_default_queue": "q"})

    with in_memory(app):
        pass

    assert (app.conf.broker_url, app.conf.task_default_queue) == ("memory://before", "q")


def test_time_that_a_test_lets_pass_makes_delayed_calls_due():
    clock = ManualClock()
    app = shop()

    with in_memory(app, clock=clock):
        app.tasks["shop.pay"].apply_async((12,), countdown=3600)
        (before,) = app.broker.depths()
        clock.advance(3600)
        (after,) = app.broker.depths()

    assert (before.ready, before.delayed) == (0, 1)
    assert (after.ready, after.delayed) == (1, 0)


def test_an_app_for_tests_takes_a_clock_too():
    clock = ManualClock()
    app = TestApp(clock=clock)

    app.send_task("shop.pay", (12,), countdown=60)
    clock.advance(60)

    assert [depth.ready for depth in app.broker.depths()] == [1]


def test_the_trap_tells_of_every_use_of_the_current_app():
    with set_trap(), pytest.raises(RuntimeError, match=r"depends on the current app.*'conf'"):
        _ = current_app.conf


@pytest.mark.parametrize("use_trap", [False, True])
def test_the_current_app_is_put_back(use_trap):
    before = Celery("before")
    app = TestApp()

    with setup_default_app(app, use_trap=use_trap):
        app.set_current()

    assert app_or_default() is before


def test_the_store_of_an_app_that_is_gone_is_forgotten_even_while_another_is_made(monkeypatch):
    app = TestApp()
    name = app.broker.url.removeprefix("memory://")
    apps = [app]
    del app

    def collect(*args):  # as the garbage collector may at any allocation
        apps.clear()
        gc.collect()
        return Store(*args)

    monkeypatch.setattr("celeriac.brokers.memory.store.Store", collect)
    store_named("made-meanwhile")

    assert name not in _stores
