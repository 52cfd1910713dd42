from __future__ import annotations

import pickle

import pytest

from celeriac import Celery
from celeriac.app.current import current_app
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting
from tests.unit.app import settings_of_a_shop


class WithMethod(Celery):
    def on_configure(self):
        self.conf.update(task_default_queue="mail")


def made(*args, **kwargs):
    return Celery(*args, set_as_current=False, **kwargs)


SHOP = settings_of_a_shop.__name__


def test_settings_come_from_an_object_when_they_are_needed():
    app = made("shop")

    returned = app.config_from_object(settings_of_a_shop)

    assert (returned, app.configured) == (None, False)
    assert app.conf.task_default_queue == "goods"
    assert app.configured


def test_settings_come_from_an_object_at_once_when_asked_for():
    app = made("shop")

    assert app.config_from_object(SHOP, force=True) is app.conf
    assert app.configured


def test_settings_come_from_the_module_that_a_variable_names(monkeypatch):
    monkeypatch.setenv("SHOP_SETTINGS", SHOP)
    app = made("shop")

    app.config_from_envvar("SHOP_SETTINGS")

    assert app.conf.task_default_queue == "goods"
    assert app.conf.origin_of("task_default_queue") == f"module {SHOP} of SHOP_SETTINGS"


def test_a_variable_that_is_not_set_is_an_error_unless_silence_is_asked_for():
    app = made("shop")

    with pytest.raises(ImproperlyConfigured, match=r"the variable SHOP_SETTINGS, .* is not set"):
        app.config_from_envvar("SHOP_SETTINGS")
    assert app.config_from_envvar("SHOP_SETTINGS", silent=True) is False


def test_settings_come_from_a_command_line():
    app = made("shop", task_default_queue="goods")

    app.config_from_cmdline(["task.default_queue=mail", ".pool=solo"], namespace="worker")

    assert (app.conf.task_default_queue, app.conf.worker_pool) == ("mail", "solo")


def test_an_unknown_setting_on_a_command_line_is_an_error():
    with pytest.raises(UnknownSetting, match=r"\(a str from command line\)"):
        made("shop").config_from_cmdline(["task.default_que=mail"])


def test_defaults_can_be_added():
    app = made("shop")

    app.add_defaults({"shop_limit": 5})

    assert app.conf["shop_limit"] == 5


def test_a_namespace_belongs_to_the_app():
    app = made("shop", namespace="SHOP", config_source={"SHOP_TASK_DEFAULT_QUEUE": "goods"})

    assert (app.namespace, app.conf.task_default_queue) == ("SHOP", "goods")


def test_arguments_of_the_app_may_have_old_names_beside_the_broker():
    app = made("shop", broker="memory://a", changes={"CELERYD_POOL": "solo"}, task_ignore_result=True)

    assert (app.conf.broker_url, app.conf.worker_pool, app.conf.task_ignore_result) == ("memory://a", "solo", True)


def test_a_wrong_argument_is_an_error_at_once():
    with pytest.raises(UnknownSetting, match="from arguments of the app"):
        made("shop", broker_ur="memory://a")


def test_signals_are_sent_around_the_reading_of_settings():
    app = made("shop")
    told: list[tuple] = []

    @app.on_configure.connect
    def before(sender, **_):
        told.append(("before", sender))
        sender.conf.update(task_default_queue="goods")

    @app.on_after_configure.connect
    def after(sender, source, **_):
        told.append(("after", sender, source, source.task_default_queue))

    _ = app.conf.worker_pool

    assert told == [("before", app), ("after", app, app.conf, "goods")]


def test_a_subclass_may_have_a_method_instead_of_the_first_signal():
    assert WithMethod("shop", set_as_current=False).conf.task_default_queue == "mail"


def test_only_an_app_without_a_name_reads_the_default_module(tmp_path, monkeypatch):
    (tmp_path / "celeryconfig.py").write_text("task_default_queue = 'goods'\n")
    monkeypatch.chdir(tmp_path)

    assert (made().conf.task_default_queue, made("shop").conf.task_default_queue) == ("goods", "celery")


@pytest.mark.parametrize("read", [True, False])
def test_a_pickled_app_arrives_with_its_settings(read):
    app = WithMethod("shop", broker="memory://a", namespace="SHOP", set_as_current=False)
    app.config_from_object(settings_of_a_shop, silent=True)
    app.conf.update(task_max_crashes=9)
    app.conf.override({"worker_pool": "solo"})
    if read:
        app.conf.finalize()

    arrived = pickle.loads(pickle.dumps(app))

    assert type(arrived) is WithMethod
    assert arrived.main == "shop"
    assert arrived.namespace == "SHOP"
    assert arrived.conf.without_defaults() == app.conf.without_defaults()
    assert arrived.conf.task_default_priority == 7
    assert arrived.conf.source is not None
    assert arrived.conf.source.silent
    assert arrived.conf.origin_of("worker_pool") == "command line"


def test_a_pickled_app_does_not_become_the_current_one():
    app = Celery("shop")

    pickle.loads(pickle.dumps(app))

    assert current_app() is app


def test_the_default_app_reads_the_default_module(tmp_path, monkeypatch):
    (tmp_path / "celeriacconfig.py").write_text("task_default_queue = 'goods'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("celeriac.app.current._default", None)

    assert current_app().conf.task_default_queue == "goods"
