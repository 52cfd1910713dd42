"""Where settings come from: every setting from every source, and which source wins."""

from __future__ import annotations

import datetime
import json
import threading
from types import SimpleNamespace

import pytest

from celeriac.app.config import SETTINGS, Settings
from celeriac.app.config.objects import ConfigSource
from celeriac.exceptions import ConfigurationNotFound, ImproperlyConfigured, NotConfigured, UnknownSetting

pytestmark = pytest.mark.filterwarnings("ignore::celeriac.exceptions.SettingWithoutEffect")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(folder):
    """Write the table of a project."""

    def write(**settings):
        lines = [f"{name} = {toml(value)}" for name, value in settings.items()]
        (folder / "pyproject.toml").write_text("\n".join(["[tool.celeriac]", *lines]))

    return write


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if not isinstance(value, (bool, int, float, str)):
        raise TypeError
    return json.dumps(value)


def settings(*values, environ=None, **more):
    return Settings(*values, environ=environ or {}, **more)


def through_update(name, value):
    conf = settings()
    conf.update({name: value})
    return conf, "conf.update"


def through_attribute(name, value):
    conf = settings()
    setattr(conf, name, value)
    return conf, f"conf.{name}"


def through_item(name, value):
    conf = settings()
    conf[name] = value
    return conf, f"conf.{name}"


def through_argument(name, value):
    return settings({name: value}), "arguments of the app"


def through_object(name, value):
    return settings(source=ConfigSource({name: value})), "dict given to config_from_object"


def through_instance_with_old_name(name, value):
    key = SETTINGS[name].old or name
    source = ConfigSource(SimpleNamespace(**{key: value}))
    return settings(source=source), "SimpleNamespace given to config_from_object"


def through_namespace(name, value):
    source = ConfigSource({f"SHOP_{name.upper()}": value})
    return settings(source=source, namespace="SHOP"), "dict given to config_from_object"


def through_defaults(name, value):
    conf = settings()
    conf.add_defaults(lambda: {name: value})
    return conf, "add_defaults"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_accepts_its_documented_form_from_the_program(name):
    for value in SETTINGS[name].kind.examples:
        for through in (
            through_update,
            through_attribute,
            through_item,
            through_argument,
            through_object,
            through_instance_with_old_name,
            through_namespace,
            through_defaults,
        ):
            conf, origin = through(name, value)

            assert settles(conf, name, value, origin), (through, value)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_accepts_its_documented_form_as_text(name):
    for value in SETTINGS[name].kind.examples:
        try:
            text = value if isinstance(value, str) else json.dumps(value)
        except TypeError:  # a timedelta, a tzinfo, bytes: nobody can type them
            continue
        variable = f"CELERIAC_{name.upper()}"
        if text:
            conf = settings(environ={variable: text})
            assert settles(conf, name, value, f"environment {variable}"), value

        conf = settings()
        conf.read_arguments([f"{name}={text}"])
        assert settles(conf, name, value, "command line"), value


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_accepts_its_documented_form_from_a_project(name, project):
    for value in SETTINGS[name].kind.examples:
        try:
            project(**{name: value})
        except TypeError:  # None, a timedelta, bytes: TOML has none
            continue

        assert settles(settings(), name, value, "pyproject.toml"), value


def settles(conf, name, value, origin):
    setting = SETTINGS[name]
    kept = setting.kind.accept(value)
    if kept is None and setting.follows:
        kept = conf[setting.follows]
    return (conf[name], getattr(conf, name), conf.origin_of(name)) == (kept, kept, origin)


def test_the_stronger_source_wins_whatever_the_order_in_which_they_speak(project):
    conf = settings(environ={"CELERIAC_TASK_DEFAULT_QUEUE": "environment"})
    conf.read_arguments(["task_default_queue=command-line"])
    conf.update(task_default_queue="program")
    conf.read_object(ConfigSource({"task_default_queue": "object"}))
    project(task_default_queue="project")
    conf.add_defaults({"task_default_queue": "added"})

    seen = [conf.task_default_queue]
    for layer in reversed(range(6)):
        weaker = conf._sources.layers[:layer] + ({},) * (6 - layer)
        values = {name: said.value for sources in weaker for name, said in sources.items()}
        seen.append(values.get("task_default_queue", "celery"))

    assert seen == ["command-line", "environment", "program", "object", "project", "added", "celery"]


def test_nothing_is_read_before_a_setting_is_needed():
    conf = settings(source=ConfigSource("no_such_module"), environ={"CELERIAC_NONSENSE": "1"})

    conf.update(task_default_queue="mail")

    assert not conf.loaded
    with pytest.raises(ConfigurationNotFound):
        _ = conf.task_default_queue


def test_what_is_set_before_an_object_is_read_is_remembered_and_wins():
    conf = settings()
    conf.task_default_queue = "mail"
    conf.read_object(ConfigSource({"task_default_queue": "other", "task_max_crashes": 9}))

    assert (conf.task_default_queue, conf.task_max_crashes) == ("mail", 9)


def test_an_object_is_read_at_once_when_that_is_asked_for():
    conf = settings()

    with pytest.raises(ConfigurationNotFound):
        conf.read_object(ConfigSource("no_such_module"), force=True)
    conf.read_object(ConfigSource({"task_max_crashes": 9}), force=True)

    assert conf.loaded
    assert conf.task_max_crashes == 9


def test_an_object_is_read_at_once_when_settings_have_been_read():
    conf = settings(source=ConfigSource({"task_max_crashes": 9, "worker_pool": "solo"})).finalize()
    version = conf.version

    conf.read_object(ConfigSource({"task_max_crashes": 8}))

    assert (conf.task_max_crashes, conf.worker_pool) == (8, "prefork")
    assert conf.version != version


def test_of_a_wrong_object_nothing_holds_and_the_one_before_goes_on_to():
    conf = settings(source=ConfigSource({"task_max_crashes": 9})).finalize()

    with pytest.raises(ImproperlyConfigured):
        conf.read_object(ConfigSource({"SHOP_WORKER_POOL": "solo", "SHOP_TASK_ROUTES": 7}), namespace="SHOP")

    assert (conf.task_max_crashes, conf.worker_pool, conf.namespace) == (9, "prefork", None)
    assert conf.source == ConfigSource({"task_max_crashes": 9})


def test_wrong_sources_are_wrong_at_every_reading():
    conf = settings(source=ConfigSource({"task_max_crashes": 0}))

    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match=r"task_max_crashes must be .*, from dict given to"):
            _ = conf.worker_pool
    conf.read_object(ConfigSource({"task_max_crashes": 1}))

    assert conf.task_max_crashes == 1


@pytest.mark.parametrize("variable", ["CELERIAC_CONFIG_MODULE", "CELERY_CONFIG_MODULE"])
def test_a_variable_names_the_module_of_an_app_without_another_object(folder, variable):
    (folder / "shop_settings_in_a_variable.py").write_text("task_max_crashes = 9\n")
    environ = {variable: "shop_settings_in_a_variable"}

    conf = settings(environ=environ)
    other = settings(environ=environ, source=ConfigSource({}))

    assert (conf.task_max_crashes, other.task_max_crashes) == (9, 3)
    assert conf.origin_of("task_max_crashes") == f"module shop_settings_in_a_variable of {variable}"


def test_a_variable_that_names_no_module_is_an_error():
    with pytest.raises(ConfigurationNotFound, match="'no_such_module', which CELERY_CONFIG_MODULE asks for"):
        settings(environ={"CELERY_CONFIG_MODULE": "no_such_module"}).finalize()


def test_the_default_module_is_read_where_it_is_wanted_and_nothing_else_is_named(folder):
    (folder / "celeriacconfig.py").write_text("task_max_crashes = 9\n")

    wanting, with_another, not_wanting = settings(), settings(source=ConfigSource({})), settings()
    wanting.take_default_module()
    with_another.take_default_module()

    assert [conf.task_max_crashes for conf in (wanting, with_another, not_wanting)] == [9, 3, 3]


def test_a_missing_default_module_is_warned_of_when_that_is_asked_for():
    conf = settings(environ={"C_WNOCONF": "1"})
    conf.take_default_module()

    with pytest.warns(NotConfigured, match="no configuration module .celeriacconfig or celeryconfig"):
        conf.finalize()


def test_later_defaults_win_over_earlier_ones_and_lose_to_all_others():
    conf = settings({"worker_pool": "solo"})

    conf.add_defaults({"worker_pool": "prefork", "task_max_crashes": 8})
    conf.add_defaults(lambda: {"task_max_crashes": 9})

    assert (conf.worker_pool, conf.task_max_crashes) == ("solo", 9)


def test_defaults_can_be_added_after_settings_were_read():
    conf = settings().finalize()

    conf.add_defaults(lambda: {"task_max_crashes": 9, "shop_limit": 5})

    assert (conf.task_max_crashes, conf["shop_limit"]) == (9, 5)


@pytest.mark.parametrize("early", [True, False])
def test_defaults_make_settings_of_other_names(early):
    conf = settings(environ={"CELERIAC_SHOP_LIMIT": "7"})

    conf.add_defaults({"shop_limit": 5, "SHOP_NAME": "x"} if early else lambda: {"shop_limit": 5, "SHOP_NAME": "x"})
    conf.update(SHOP_NAME="y")

    assert (conf["shop_limit"], conf.get("SHOP_NAME"), conf.SHOP_NAME) == (7, "y", "y")
    assert "shop_limit" in conf.keys()  # noqa: SIM118
    with pytest.raises(UnknownSetting, match="did you mean 'shop_limit'"):
        conf.update(shop_limt=1)


def test_wrong_defaults_are_an_error_that_names_them():
    conf = settings().finalize()

    with pytest.raises(ImproperlyConfigured, match=r"worker_pool must be .*, from add_defaults"):
        conf.add_defaults({"worker_pool": "rocket"})

    conf.task_max_crashes = 4
    assert conf.worker_pool == "prefork"


def test_what_is_asked_for_while_sources_are_read_is_what_is_known_so_far():
    conf = settings({"task_default_queue": "mail"}, {"CELERYD_POOL": "solo"})
    conf.add_defaults(lambda: {"task_max_crashes": len(conf.task_default_queue)})

    assert conf.task_max_crashes == 4


def test_hooks_are_called_around_the_reading_and_may_change_settings():
    calls: list[tuple] = []

    def before():
        calls.append(("before", conf.loaded))
        conf.update(task_default_queue="from before")

    def after():
        calls.append(("after", conf.loaded, conf.task_default_queue))
        conf.task_max_crashes = 7

    conf = settings(before_load=before, after_load=after)

    assert (conf.task_max_crashes, conf.worker_pool) == (7, "prefork")
    assert calls == [("before", False), ("after", True, "from before")]


def test_threads_that_need_settings_at_once_all_get_them(folder):
    (folder / "shop_settings_of_threads.py").write_text("import time\ntime.sleep(0.05)\ntask_max_crashes = 9\n")
    conf = settings(source=ConfigSource("shop_settings_of_threads"))
    seen = []

    def read(number):
        seen.append(conf.task_max_crashes)
        conf.update({list(SETTINGS)[number]: SETTINGS[list(SETTINGS)[number]].default})

    threads = [threading.Thread(target=read, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert seen == [9] * 20
    assert len(conf.changes) == 20


def test_values_that_nobody_can_type_come_from_programs():
    conf = settings({"result_expires": datetime.timedelta(days=2), "timezone": datetime.UTC})

    assert (conf.result_expires, conf.timezone) == (172800.0, datetime.UTC)
