from __future__ import annotations

import os
import pickle
import sys
import types
from datetime import timedelta

from observing import differs, make_app, program, raised

from celeriac import Celery
from celeriac.exceptions import ImproperlyConfigured

ALIKE = [
    "accept_content",
    "broker_connection_max_retries",
    "broker_connection_retry",
    "broker_connection_timeout",
    "broker_heartbeat",
    "broker_pool_limit",
    "broker_transport_options",
    "broker_use_ssl",
    "enable_utc",
    "event_queue_expires",
    "event_queue_ttl",
    "imports",
    "include",
    "result_accept_content",
    "result_cache_max",
    "result_compression",
    "result_exchange",
    "result_expires",
    "result_extended",
    "result_persistent",
    "result_serializer",
    "task_acks_on_failure_or_timeout",
    "task_always_eager",
    "task_annotations",
    "task_compression",
    "task_create_missing_queues",
    "task_default_delivery_mode",
    "task_default_exchange",
    "task_default_exchange_type",
    "task_default_priority",
    "task_default_queue",
    "task_default_rate_limit",
    "task_default_routing_key",
    "task_eager_propagates",
    "task_ignore_result",
    "task_inherit_parent_priority",
    "task_protocol",
    "task_publish_retry",
    "task_queue_max_priority",
    "task_queues",
    "task_reject_on_worker_lost",
    "task_remote_tracebacks",
    "task_routes",
    "task_send_sent_event",
    "task_serializer",
    "task_soft_time_limit",
    "task_store_eager_result",
    "task_store_errors_even_if_ignored",
    "task_time_limit",
    "task_track_started",
    "timezone",
    "worker_cancel_long_running_tasks_on_connection_loss",
    "worker_direct",
    "worker_disable_rate_limits",
    "worker_enable_remote_control",
    "worker_log_format",
    "worker_max_memory_per_child",
    "worker_max_tasks_per_child",
    "worker_pool",
    "worker_proc_alive_timeout",
    "worker_redirect_stdouts",
    "worker_redirect_stdouts_level",
    "worker_send_task_events",
    "worker_state_db",
    "worker_task_log_format",
    "worker_timer_precision",
    "beat_max_loop_interval",
    "beat_schedule",
    "beat_sync_every",
]


@program(
    differs("result_expires", celery="datetime.timedelta(days=1)", ours=86400.0, row="a duration in a setting"),
)
def defaults_of_settings():
    conf = Celery("shop", set_as_current=False).conf
    return {name: getattr(conf, name) for name in ALIKE}


@program(
    differs("task_acks_late", celery=False, ours=True, row="acknowledges before the run"),
    differs("worker_hijack_root_logger", celery=True, ours=False, row="a worker takes the root logger over"),
)
def defaults_that_differ():
    conf = Celery("shop", set_as_current=False).conf
    return {name: getattr(conf, name) for name in ("task_acks_late", "worker_hijack_root_logger")}


@program()
def settings_by_attribute_and_by_item():
    conf = make_app().conf
    conf.task_default_queue = "mail"
    conf["result_expires"] = 60
    conf.update(task_time_limit=30, timezone="Europe/Berlin")
    conf.update({"task_soft_time_limit": 20})
    return {
        "attribute": [conf.task_default_queue, conf.result_expires, conf.task_time_limit],
        "item": [conf["task_default_queue"], conf["timezone"], conf["task_soft_time_limit"]],
        "get": [conf.get("task_default_queue"), conf.get("no_such_setting", "fallback"), conf.get("task_routes")],
        "in": ["task_default_queue" in conf, "no_such_setting" in conf],
    }


@program()
def settings_that_there_are_not():
    conf = make_app().conf
    return {
        "attribute": raised(lambda: conf.no_such_setting),
        "item": raised(lambda: conf["no_such_setting"]),
        "hasattr": hasattr(conf, "no_such_setting"),
    }


@program(
    differs(
        "misspelled",
        celery=["nothing; returned None", "nothing; returned None"],
        ours=["UnknownSetting", "UnknownSetting"],
        row="an unknown setting, task option or call option is ignored",
    ),
)
def settings_that_are_misspelled():
    app = make_app()
    return {
        "misspelled": [
            raised(app.conf.update, task_defualt_queue="mail"),
            raised(lambda: Celery("other", task_alwys_eager=True).conf.task_default_queue and None),
        ],
        "is one": issubclass(ImproperlyConfigured, Exception),
    }


@program()
def settings_as_keyword_arguments():
    app = Celery(
        "shop",
        broker="memory://",
        task_serializer="json",
        task_default_queue="mail",
        timezone="Asia/Shanghai",
        include=["os.path"],
    )
    return {
        "settings": [app.conf.task_serializer, app.conf.task_default_queue, app.conf.timezone, list(app.conf.include)],
        "broker": app.conf.broker_url,
        "before anything was read": Celery("x", task_default_queue="q").conf.task_default_queue,
    }


@program()
def old_names_of_settings():
    app = make_app()
    app.conf.update(
        CELERY_DEFAULT_QUEUE="old",
        CELERY_ACKS_LATE=True,
        CELERY_TASK_RESULT_EXPIRES=77,
        CELERYD_CONCURRENCY=5,
        CELERYD_PREFETCH_MULTIPLIER=2,
        CELERY_TIMEZONE="Asia/Shanghai",
    )
    conf = app.conf
    return {
        "by new name": [
            conf.task_default_queue,
            conf.task_acks_late,
            conf.result_expires,
            conf.worker_concurrency,
            conf.worker_prefetch_multiplier,
            conf.timezone,
        ],
        "by old name": [conf.CELERY_DEFAULT_QUEUE, conf["CELERYD_CONCURRENCY"]],
    }


@program(
    differs(
        "expires", celery=["datetime.timedelta(seconds=3600)"] * 2, ours=[3600.0] * 2, row="a duration in a setting"
    ),
)
def a_module_of_settings():
    module = types.ModuleType("shop_settings")
    module.task_default_queue = "from-module"
    module.result_expires = timedelta(hours=1)
    module.imports = ("os",)
    module.SOMETHING_ELSE = 5
    module.helper = lambda: None
    sys.modules["shop_settings"] = module
    by_name, by_object = make_app("a"), make_app("b")
    by_name.config_from_object("shop_settings")
    by_object.config_from_object(module)
    return {
        "by name": [by_name.conf.task_default_queue, tuple(by_name.conf.imports)],
        "by object": by_object.conf.task_default_queue,
        "expires": [by_name.conf.result_expires, by_object.conf.result_expires],
        "default": by_name.conf.task_serializer,
    }


class Settings:
    task_default_queue = "from-class"
    result_expires = 5
    timezone = "Europe/Paris"


class OldSettings:
    BROKER_URL = "memory://"
    CELERY_DEFAULT_QUEUE = "old-class"
    CELERY_TASK_SERIALIZER = "json"
    CELERYD_MAX_TASKS_PER_CHILD = 40


@program()
def a_class_of_settings():
    app, old, path = make_app("a"), Celery("b"), make_app("c")
    app.config_from_object(Settings)
    old.config_from_object(OldSettings)
    path.config_from_object(f"{__name__}:Settings")
    return {
        "class": [app.conf.task_default_queue, app.conf.result_expires, app.conf.timezone],
        "old names": [old.conf.task_default_queue, old.conf.worker_max_tasks_per_child, old.conf.broker_url],
        "path": path.conf.task_default_queue,
        "instance": _configured(Settings()).task_default_queue,
    }


def _configured(source, **options):
    app = make_app()
    app.config_from_object(source, **options)
    return app.conf


class Namespaced:
    CELERY_BROKER_URL = "memory://"
    CELERY_TASK_DEFAULT_QUEUE = "django"
    CELERY_RESULT_EXPIRES = 9
    CELERY_TASK_ALWAYS_EAGER = True
    DEBUG = True
    DATABASES = {"default": {}}


class Foreign:
    SHOP_TASK_DEFAULT_QUEUE = "shop"
    CELERY_TASK_TIME_LIMIT = 5


@program(
    differs(
        "foreign",
        celery="ignored",
        ours="UnknownSetting",
        row="an unknown setting, task option or call option is ignored",
    ),
)
def a_namespace_of_settings():
    conf = _configured(Namespaced, namespace="CELERY")
    other = _configured(
        type("Shop", (), {"SHOP_TASK_DEFAULT_QUEUE": "shop", "SHOP_RESULT_EXPIRES": 5}), namespace="SHOP"
    )
    return {
        "read": [conf.task_default_queue, conf.result_expires, conf.task_always_eager],
        "other": [other.task_default_queue, other.result_expires],
        "constructor": _by_constructor().task_default_queue,
        "foreign": _foreign(),
    }


def _foreign():
    try:
        return "ignored" if _configured(Foreign, namespace="SHOP").task_time_limit is None else "read"
    except ImproperlyConfigured as exc:
        return type(exc).__name__


def _by_constructor():
    app = Celery("shop", broker="memory://", namespace="CELERY", config_source=Namespaced)
    return app.conf


@program()
def old_and_new_names_in_one_source():
    class Mixed:
        CELERY_DEFAULT_QUEUE = "old"
        task_serializer = "json"
        result_expires = 4
        BROKER_URL = "memory://"

    return {"raised": raised(lambda: _configured(Mixed).task_default_queue)}


@program()
def a_source_that_is_not_there():
    silent = make_app()
    silent.config_from_object("no_such_module_at_all", silent=True)
    return {
        "forced": _is_import_error(lambda: _configured("no_such_module_at_all", force=True)),
        "lazily": _is_import_error(lambda: _configured("no_such_module_at_all").task_default_queue),
        "silent": silent.conf.task_default_queue,
        "no attribute": _is_import_error(lambda: _configured(f"{__name__}_nothing:Nothing").task_default_queue),
    }


def _is_import_error(function):
    try:
        function()
    except ImportError:
        return True
    return False


@program()
def a_source_named_by_the_environment():
    module = types.ModuleType("env_settings")
    module.task_default_queue = "from-env"
    sys.modules["env_settings"] = module
    os.environ["SHOP_CONFIG"] = "env_settings"
    app, missing = make_app("a"), make_app("b")
    app.config_from_envvar("SHOP_CONFIG")
    silent = missing.config_from_envvar("NO_SUCH_VARIABLE", silent=True)
    return {
        "read": app.conf.task_default_queue,
        "missing": raised(missing.config_from_envvar, "NO_SUCH_VARIABLE"),
        "silent": bool(silent),
    }


@program()
def which_source_wins():
    app = Celery("shop", broker="memory://", task_default_queue="argument")
    app.config_from_object(Settings)
    by_argument = app.conf.task_default_queue
    app.conf.update(task_default_queue="updated")
    by_update = app.conf.task_default_queue
    app.conf.task_default_queue = "assigned"
    before = make_app()
    before.conf.task_default_queue = "set before"
    before.config_from_object(Settings)
    return {
        "argument and object": by_argument,
        "update": by_update,
        "assigned": app.conf.task_default_queue,
        "set before the object": before.conf.task_default_queue,
        "others of the object": [app.conf.result_expires, before.conf.timezone],
    }


@program()
def a_source_is_read_when_it_is_needed():
    class Counted:
        reads = 0

        def __getattr__(self, name):
            raise AttributeError(name)

    seen = []
    app = make_app()
    app.on_configure.connect(lambda **_: seen.append("on_configure"), weak=False)
    app.on_after_configure.connect(
        lambda sender, source=None, **_: seen.append(["on_after_configure", sender is app]), weak=False
    )
    app.config_from_object(Counted())
    before = list(seen)
    _ = app.conf.task_default_queue
    _ = app.conf.task_serializer
    return {"before": before, "after": seen}


@program()
def defaults_that_a_library_adds():
    app = make_app()
    app.add_defaults({"shop_colour": "blue", "task_default_queue": "shop-default"})
    app.add_defaults(lambda: {"shop_size": 3})
    app.conf.shop_size = 4
    return {"added": [app.conf.shop_colour, app.conf.shop_size], "overridden default": app.conf.task_default_queue}


@program()
def settings_from_a_command_line():
    app = make_app()
    app.config_from_cmdline(["worker.concurrency=7", "task.default_queue=cli", "result.expires=90"])
    return {"read": [int(app.conf.worker_concurrency), app.conf.task_default_queue, app.conf.result_expires]}


@program()
def urls_from_the_environment():
    os.environ["CELERY_BROKER_URL"] = "memory://from-the-environment"
    os.environ["CELERY_RESULT_BACKEND"] = os.environ["DIFFERENTIAL_MEMORY_RESULTS"]
    given = Celery("given", broker="memory://given")
    plain = Celery("plain")
    return {
        "environment": [plain.conf.broker_url, plain.conf.result_backend == os.environ["DIFFERENTIAL_MEMORY_RESULTS"]],
        "environment and argument": given.conf.broker_url,
    }


@program()
def what_people_are_shown():
    app = Celery("shop", broker="amqp://user:sesame@localhost//", result_expires=77, security_key_password="sesame")
    text = app.conf.humanize(with_defaults=False, censored=True)
    table = app.conf.table(with_defaults=False, censored=True)
    return {
        "secret shown": ["sesame" in text, "sesame" in repr(table)],
        "set": ["result_expires: 77" in text, table["result_expires"]],
        "defaults left out": [
            "task_track_started" in text,
            "task_track_started" in app.conf.humanize(with_defaults=True),
        ],
        "without defaults": app.conf.without_defaults().get("result_expires"),
    }


@program()
def where_a_value_comes_from():
    app = make_app(task_default_queue="mine")
    conf = app.conf
    return {
        "changes": conf.value_set_for("task_default_queue"),
        "not set": conf.value_set_for("task_time_limit"),
        "find": conf.find_value_for_key("default_queue", namespace="task"),
        "without": conf.without_defaults()["task_default_queue"],
    }


@program(
    differs("wrong", celery="ZoneInfoNotFoundError", ours="ImproperlyConfigured", row="a wrong value of a setting"),
)
def time_zones():
    utc, berlin, local = make_app(), make_app(timezone="Europe/Berlin"), make_app(enable_utc=False)
    return {
        "zones": [str(utc.timezone), str(berlin.timezone)],
        "now": [utc.now(), berlin.now(), str(berlin.now().tzinfo), str(utc.now().tzinfo)],
        "utc": [utc.uses_utc_timezone(), berlin.uses_utc_timezone(), local.uses_utc_timezone()],
        "wrong": raised(lambda: make_app(timezone="Mars/Olympus").timezone),
    }


@program()
def apps_are_pickled():
    app = Celery("shop", broker="memory://", task_default_queue="kept", set_as_current=False)
    app.conf.result_expires = 5
    copy = pickle.loads(pickle.dumps(app))
    return {
        "main": copy.main,
        "class": type(copy).__name__,
        "settings": [copy.conf.task_default_queue, copy.conf.result_expires, copy.conf.broker_url],
        "another": copy is not app,
    }


@program(
    differs("expires", celery="datetime.timedelta(seconds=120)", ours=120.0, row="a duration in a setting"),
)
def values_of_several_types():
    app = make_app()
    app.conf.update(
        result_expires=timedelta(minutes=2),
        imports=["os", "sys"],
        broker_url="memory://a;memory://b",
        task_routes={"mail.*": {"queue": "mail"}},
        accept_content=["json", "yaml"],
        task_annotations={"*": {"rate_limit": "1/s"}},
    )
    conf = app.conf
    return {
        "expires": conf.result_expires,
        "imports": list(conf.imports),
        "routes": conf.task_routes,
        "accept": list(conf.accept_content),
        "annotations": conf.task_annotations,
    }
