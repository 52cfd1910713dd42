from __future__ import annotations

import datetime
import pickle
import sys
from types import ModuleType, SimpleNamespace

import pytest

from celeriac.app.config.names import Names
from celeriac.app.config.objects import ConfigSource, default_source
from celeriac.app.imports import ModuleFailed
from celeriac.exceptions import ConfigurationNotFound, ImproperlyConfigured, UnknownSetting

PLAIN = Names()


class Config:
    task_default_queue = "mail"
    Exchange = object()
    MAIL_ROUTING = "x"
    _task_hidden = 1

    class worker_helper:  # noqa: N801
        pass

    def task_helper(self):
        return 1


class Inherited(Config):
    task_max_crashes = 7


def values(target, names=PLAIN, **more):
    return {name: said.value for name, said in ConfigSource(target, **more).read(names).items()}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported until the test ends."""

    def write(text, name="shop_config"):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    monkeypatch.chdir(tmp_path)
    return write


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (Config, {"task_default_queue": "mail"}),
        (Config(), {"task_default_queue": "mail"}),
        (Inherited, {"task_default_queue": "mail", "task_max_crashes": 7}),
        ({"task_default_queue": "mail", "other": 1, 7: 8}, {"task_default_queue": "mail"}),
        (SimpleNamespace(CELERY_DEFAULT_QUEUE="mail"), {"task_default_queue": "mail"}),
    ],
)
def test_classes_instances_and_dicts_are_read(target, found):
    assert values(target) == found


def test_a_module_in_the_working_directory_is_found_and_the_path_is_left_as_it_was(module):
    name = module("task_default_queue = 'mail'\n")
    before = list(sys.path)

    assert values(name) == {"task_default_queue": "mail"}
    assert sys.path == before


@pytest.mark.parametrize("path", ["shop_config:Config", "shop_config.Config", "shop_config:holder.inner"])
def test_an_object_in_a_module_is_found_by_its_path(module, path):
    module(
        "class Config:\n    task_default_queue = 'mail'\nclass holder:\n    inner = {'task_default_queue': 'mail'}\n"
    )

    assert values(path) == {"task_default_queue": "mail"}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("shop_confg", "there is no module 'shop_confg', which config_from_object asks for; correct the name"),
        ("shop_config.py", "there is no module 'shop_config.py', .*; leave out the .py"),
        ("shop_config:Confg", "module 'shop_config' has no 'Confg'"),
        ("shop_config.Confg", "module 'shop_config' has no 'Confg'"),
        ("shop_config:Config.inner", "has no 'Config.inner'"),
        ("no.such.module", "there is no module 'no.such.module'"),
        ("no.such:thing", "there is no module 'no.such'"),
        (".relative", "there is no module '.relative'"),
        ("", "there is no module ''"),
    ],
)
def test_what_is_not_there_is_named(module, path, error):
    module("class Config:\n    task_default_queue = 'mail'\n")

    with pytest.raises(ConfigurationNotFound, match=error):
        values(path)

    assert values(path, silent=True) == {}


def test_what_is_not_there_can_be_caught_as_celery_raises_it():
    with pytest.raises(ImportError):
        values("shop_confg")


def test_a_module_that_raises_is_an_error_even_when_silence_is_asked_for(module):
    name = module("import no_such_thing\n")

    with pytest.raises(ModuleFailed, match="No module named 'no_such_thing'"):
        values(name, silent=True)


@pytest.mark.parametrize("value", ["datetime", "Config", "function"])
def test_what_is_called_like_a_setting_by_accident_is_left_alone(value):
    accidents = {"datetime": datetime, "Config": Config, "function": lambda: None}

    assert values({"timezone": accidents[value], "include": accidents[value], "task_helper": accidents[value]}) == {}


def test_a_setting_may_be_a_class_or_a_function():
    found = values({"beat_scheduler": Config, "database_engine_callback": len})

    assert found == {"beat_scheduler": Config, "database_engine_callback": len}


def test_a_name_that_claims_to_be_a_setting_and_is_none_is_an_error():
    with pytest.raises(UnknownSetting, match=r"'task_defalt_queue' .a str from class .*Wrong.*'task_default_queue'"):
        values(type("Wrong", (), {"task_defalt_queue": "mail"}))


def test_with_a_namespace_the_prefix_makes_a_setting():
    django = SimpleNamespace(CELERY_TASK_DEFAULT_QUEUE="mail", DEBUG=True, BROKER_URL="memory://a", tasks=1)

    found = values(django, Names(namespace="CELERY"))

    assert found == {"task_default_queue": "mail", "broker_url": "memory://a"}


def test_what_has_the_prefix_and_is_no_setting_is_an_error():
    with pytest.raises(UnknownSetting, match="did you mean 'SHOP_TASK_DEFAULT_QUEUE'"):
        values(SimpleNamespace(SHOP_TASK_DEFALT_QUEUE="mail"), Names(namespace="SHOP"))


def test_old_and_new_names_are_not_mixed():
    with pytest.raises(ImproperlyConfigured, match=r"class .*Mixed has both new and old names"):
        values(type("Mixed", (), {"task_routes": {}, "CELERYD_POOL": "solo"}))


def test_of_both_names_of_a_setting_the_new_one_counts():
    assert values({"CELERY_TASK_RESULT_EXPIRES": 5, "result_expires": 7}) == {"result_expires": 7.0}


def test_the_time_zone_of_django_counts_when_no_other_is_said():
    assert values({"TIME_ZONE": "Asia/Tokyo"}) == {"timezone": "Asia/Tokyo"}
    assert values({"TIME_ZONE": "Asia/Tokyo", "timezone": "UTC"}) == {"timezone": "UTC"}


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (ConfigSource("shop.config"), "module shop.config"),
        (ConfigSource("shop.config", asked_by="SHOP_CONFIG"), "module shop.config of SHOP_CONFIG"),
        (ConfigSource("shop:Config"), "object shop:Config"),
        (ConfigSource(Config), f"class {__name__}.Config"),
        (ConfigSource(ModuleType("shop")), "module shop"),
        (ConfigSource({}), "dict given to config_from_object"),
        (ConfigSource(Config()), "Config given to config_from_object"),
    ],
)
def test_a_source_says_what_it_is(source, origin):
    assert source.origin == origin


def test_a_module_travels_by_its_name():
    source = ConfigSource(sys.modules[__name__], silent=True)

    carried = pickle.loads(pickle.dumps(source.portable()))

    assert carried == ConfigSource(__name__, silent=True)
    assert ConfigSource("shop").portable() == ConfigSource("shop")


def test_the_default_module_is_celeriacs_own_and_then_celerys(module):
    nothing = default_source()
    module("", "celeryconfig")
    celerys = default_source()
    module("", "celeriacconfig")

    assert (nothing, celerys, default_source()) == (None, ConfigSource("celeryconfig"), ConfigSource("celeriacconfig"))
