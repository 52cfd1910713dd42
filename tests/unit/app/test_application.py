from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from celeriac import Celeriac, Celery
from celeriac.exceptions import AlwaysEagerIgnored, ImproperlyConfigured, UnknownSetting
from tests.unit.app.messages import arguments_of, headers_of


def test_it_has_two_names():
    assert Celeriac is Celery


def test_its_arguments_are_settings():
    app = Celery(
        "shop",
        broker="memory://a",
        backend="memory://b",
        include="shop.tasks",
        task_default_queue="goods",
    )

    conf = app.conf
    assert (conf.broker_url, conf.result_backend, conf.include) == ("memory://a", "memory://b", ("shop.tasks",))
    assert (app.main, conf.task_default_queue) == ("shop", "goods")


def test_an_argument_that_is_no_setting_is_named():
    with pytest.raises(
        UnknownSetting, match=r"there is no setting 'task_default_que' .*did you mean 'task_default_queue'"
    ):
        Celery("shop", task_default_que="goods")


class TestSendingByName:
    def test_a_task_that_is_not_known_here_can_be_called(self, app, sent):
        result = app.send_task("elsewhere.pay", (5,), {"currency": "EUR"}, queue="money", task_id="order-7")

        [message] = sent("money")
        assert (result.id, message.task_id, headers_of(message)["task"]) == ("order-7", "order-7", "elsewhere.pay")
        assert arguments_of(message) == ([5], {"currency": "EUR"})

    def test_an_option_that_does_not_exist_is_named(self, app):
        with pytest.raises(TypeError, match=r"a call of task 'shop\.pay' has no option 'routes'"):
            app.send_task("shop.pay", routes=1)

    def test_it_is_published_even_where_calls_run_at_once_and_says_so(self, app, sent):
        app.conf.task_always_eager = True

        with pytest.warns(AlwaysEagerIgnored, match="has no effect on calls by name") as warned:
            app.send_task("shop.pay")
        with pytest.warns(AlwaysEagerIgnored):
            asyncio.run(app.asend_task("shop.pay"))

        assert warned[0].filename == __file__
        assert len(sent()) == 2


class TestStores:
    def test_broker_and_backend_are_made_once(self, app):
        assert app.broker is app.broker
        assert app.backend is app.backend

    def test_they_stay_when_a_setting_that_does_not_concern_them_changes(self, app):
        broker = app.broker

        app.conf.task_default_priority = 3

        assert app.broker is broker

    def test_they_are_made_anew_when_their_urls_change(self, app):
        app.send_task("shop.pay")
        before = app.broker.url

        app.conf.broker_url = "memory://another-place"

        assert (before != app.broker.url, app.broker.url) == (True, "memory://another-place")

    def test_a_wrong_url_is_an_error_when_it_is_used_and_can_be_corrected(self, app):
        app.conf.broker_url = "carrier-pigeon://roof"
        with pytest.raises(ImproperlyConfigured, match="carrier-pigeon"):
            app.send_task("shop.pay")

        app.conf.broker_url = "memory://"

        assert app.send_task("shop.pay").id

    def test_a_closed_app_opens_again_when_it_is_used(self, tmp_path):
        with Celery("shop", broker=f"sqlite:///{tmp_path}/shop.db") as app:
            app.send_task("shop.pay")
        app.close()

        app.send_task("shop.pay")

        [depth] = app.broker.depths()
        assert depth.ready == 2
        app.close()


def test_the_time_is_told_in_the_apps_zone():
    app = Celery(timezone="Asia/Kathmandu")

    assert app.now().utcoffset() == timedelta(hours=5, minutes=45)


def test_its_repr_names_it_and_counts_its_tasks(app):
    app.task(name="t")(lambda: None)

    assert repr(app) == "<Celery shop: 1 tasks>"
