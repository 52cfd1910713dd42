from __future__ import annotations

import copy
import datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac.app.config import SETTINGS, Settings
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting

EVERY_KIND_WRONG = [
    (
        "worker_log_format",
        "%(nope)s",
        "must be a format of log lines, such as '%(levelname)s %(message)s', or 'json', got",
    ),
    ("worker_log_format", "%(nope)s", "Formatting field not found in record: 'nope'"),
    ("worker_log_format", "%(message)q", "must be a format of log lines"),
    ("worker_log_format", "%(message)d", "must be a format of log lines"),
    ("worker_log_format", "no field", "must be a format of log lines"),
    ("worker_task_log_format", "%(nope)s", "Formatting field not found in record: 'nope'"),
    (
        "worker_prefetch_multiplier",
        -1,
        "worker_prefetch_multiplier must be a whole number >= 0 (0 = no limit), or None",
    ),
    ("task_max_crashes", True, "task_max_crashes must be a whole number >= 1"),
    ("task_default_priority", 256, "task_default_priority must be a whole number from 0 to 255"),
    ("task_acks_late", "yes", "task_acks_late must be True or False, got 'yes'"),
    ("task_publish_timeout", float("nan"), "task_publish_timeout must be a number of seconds"),
    ("task_publish_timeout", -0.5, "task_publish_timeout must be a number of seconds"),
    ("task_default_queue", "", "task_default_queue must be a text that is not empty"),
    ("include", ["a", 7], "include must be a list of texts"),
    ("timezone", "Europe/Atlantis", "timezone must be the name of a time zone"),
    ("worker_pool", "rocket", "there is no pool 'rocket'; there are prefork, threads, asyncio, solo"),
    ("accept_content", ["json", "jsn"], "accept_content must be a list of"),
    ("task_serializer", "jsn", "task_serializer must be one of 'json', 'msgpack'"),
    ("task_routes", {"a": {}}, "the route of 'a' says nothing"),
    ("task_routes", [7], "7 is no router"),
    ("task_queues", ["mail"], "'mail' in the list is no Queue"),
    ("task_queues", {"mail": {"exchang": "x"}}, "queue 'mail' says 'exchang'; there are"),
    ("task_default_exchange_type", "topik", "task_default_exchange_type must be one of 'direct', 'topic'"),
]


def test_settings_start_at_their_defaults():
    conf = Settings({}, environ={})

    defaults = {name: setting.default for name, setting in SETTINGS.items()}
    assert dict(conf) == defaults | {"task_default_exchange": "celery", "task_default_routing_key": "celery"}


def test_a_setting_is_an_attribute_and_an_item():
    conf = Settings({"task_default_queue": "a"}, environ={})

    assert conf.task_default_queue == conf["task_default_queue"] == conf.get("task_default_queue") == "a"
    assert "task_default_queue" in conf


def test_settings_can_be_copied_into_a_dict():
    conf = Settings({"task_default_queue": "a"}, environ={})

    copied = dict(conf)

    assert list(conf.keys()) == list(copied) == list(SETTINGS)
    assert list(conf.items()) == list(copied.items())
    assert list(conf.values()) == list(copied.values())
    assert copied["task_default_queue"] == "a"


def test_settings_can_be_changed_in_every_way():
    conf = Settings({}, environ={})

    conf.task_default_queue = "attribute"
    conf["worker_pool"] = "solo"
    conf.update({"task_ignore_result": True}, task_track_started=True)

    changed = (conf.task_default_queue, conf.worker_pool, conf.task_ignore_result, conf.task_track_started)
    assert changed == ("attribute", "solo", True, True)


@pytest.mark.parametrize("line", ["%(asctime)s %(processName)s %(levelno)d %(lineno)d %(message)s", "%(msecs)03d"])
def test_a_log_format_may_name_what_logging_knows(line):
    assert Settings({"worker_log_format": line}, environ={}).worker_log_format == line


def test_every_change_gives_another_version():
    conf = Settings({}, environ={})
    before = conf.version

    conf.task_default_queue = "other"

    assert conf.version != before


@pytest.mark.parametrize(("name", "value", "words"), EVERY_KIND_WRONG)
def test_a_wrong_value_is_answered_with_the_rule(name, value, words):
    conf = Settings({}, environ={})

    with pytest.raises(ImproperlyConfigured) as caught:
        conf.update({name: value})

    assert words in str(caught.value)
    assert conf[name] == SETTINGS[name].default


def test_a_url_of_the_wrong_type_is_not_printed():
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings({"broker_url": {"url": "redis://:secret@cache"}}, environ={})

    assert "secret" not in str(caught.value)
    assert "broker_url must be a URL" in str(caught.value)


@pytest.mark.parametrize("typo", ["task_acks_lat", "tasks_acks_late", "CELERY_TASK_ACKS_LATE"])
def test_an_unknown_setting_is_answered_with_the_nearest(typo):
    with pytest.raises(UnknownSetting, match="did you mean 'task_acks_late'"):
        Settings({typo: True}, environ={})


def test_a_setting_like_no_other_is_answered_without_a_guess():
    with pytest.raises(UnknownSetting) as caught:
        Settings({"zzz": 1}, environ={})

    assert str(caught.value) == (
        "there is no setting 'zzz' (an int from arguments of the app); "
        "`add_defaults` makes settings of names of your own"
    )


def test_reading_an_unknown_setting_is_an_attribute_error_with_the_nearest():
    conf = Settings({}, environ={})

    with pytest.raises(AttributeError, match="did you mean 'broker_url'"):
        _ = conf.broker_ur  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        conf["broker_ur"]
    assert conf.get("broker_ur", "none") == "none"


def test_of_several_changes_none_happens_when_one_is_wrong():
    conf = Settings({}, environ={})

    with pytest.raises(ImproperlyConfigured):
        conf.update(task_default_queue="new", worker_pool="rocket")

    assert conf.task_default_queue == "celery"


def test_the_command_line_wins_over_the_environment_and_that_over_the_program():
    conf = Settings({"broker_url": "memory://program"}, environ={"CELERIAC_BROKER_URL": "memory://environment"})
    from_environment = conf.broker_url

    conf.override({"broker_url": "memory://command-line"})
    conf.update(broker_url="memory://program-again")

    assert (from_environment, conf.broker_url) == ("memory://environment", "memory://command-line")


def test_our_own_variables_win_over_celerys():
    both = {"CELERIAC_RESULT_BACKEND": "memory://ours", "CELERY_RESULT_BACKEND": "memory://theirs"}

    assert Settings({}, environ=both).result_backend == "memory://ours"
    assert Settings({}, environ={"CELERY_BROKER_URL": "memory://theirs"}).broker_url == "memory://theirs"


def test_an_empty_variable_says_nothing():
    assert Settings({"broker_url": "memory://a"}, environ={"CELERIAC_BROKER_URL": ""}).broker_url == "memory://a"


def test_durations_may_be_timedeltas():
    assert Settings({"result_expires": datetime.timedelta(hours=2)}, environ={}).result_expires == 7200.0


def test_times_are_in_utc_unless_a_zone_is_named():
    assert Settings({}, environ={}).zone is datetime.UTC
    assert Settings({"timezone": "Europe/Berlin"}, environ={}).zone == ZoneInfo("Europe/Berlin")
    assert Settings({"timezone": datetime.UTC}, environ={}).zone is datetime.UTC


def test_without_utc_and_a_zone_times_are_in_the_zone_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr("tzlocal.unix._cache_tz", None)
    now = datetime.datetime(2026, 1, 1)

    zone = Settings({"enable_utc": False}, environ={}).zone

    assert zone.utcoffset(now) == datetime.timedelta(hours=9)


def test_the_limits_of_messages_are_those_of_the_settings():
    limits = Settings({"message_max_bytes": 5000, "message_max_depth": 20}, environ={}).limits

    assert (limits.max_bytes, limits.max_depth, limits.max_headers) == (5000, 20, 256)


def test_settings_are_read_by_their_old_names_too():
    conf = Settings({"worker_pool": "solo"}, environ={})

    assert conf.CELERYD_POOL == conf["CELERYD_POOL"] == conf.get("CELERYD_POOL") == "solo"  # type: ignore[attr-defined]
    assert "CELERYD_POOL" in conf


def test_settings_are_changed_by_their_old_names_too():
    conf = Settings({"CELERY_DEFAULT_QUEUE": "a"}, environ={})

    conf.update(CELERYD_POOL="solo")
    conf["CELERY_IGNORE_RESULT"] = True
    conf.CELERY_TRACK_STARTED = True  # type: ignore[attr-defined]

    changed = (conf.task_default_queue, conf.worker_pool, conf.task_ignore_result, conf.task_track_started)
    assert changed == ("a", "solo", True, True)
    assert conf.deprecated_settings == {
        "CELERY_DEFAULT_QUEUE", "CELERYD_POOL", "CELERY_IGNORE_RESULT", "CELERY_TRACK_STARTED"
    }  # fmt: skip


def test_an_error_about_an_old_name_has_both_names():
    with pytest.raises(ImproperlyConfigured, match=r"CELERYD_POOL \(worker_pool\) must be the name of a pool"):
        Settings({"CELERYD_POOL": "rocket"}, environ={})


def test_mixed_names_in_one_call_are_an_error_and_in_two_they_are_not():
    conf = Settings({"worker_pool": "solo"}, {"CELERY_TRACK_STARTED": True}, environ={})

    with pytest.raises(ImproperlyConfigured, match="CELERY_IGNORE_RESULT -> task_ignore_result"):
        conf.update(CELERY_IGNORE_RESULT=True, task_default_queue="a")
    conf.update(CELERY_IGNORE_RESULT=True)

    assert conf.task_ignore_result is True
    assert conf.task_default_queue == "celery"


def test_update_takes_pairs_as_dict_does():
    conf = Settings(environ={})

    conf.update([("worker_pool", "solo")], task_ignore_result=True)

    assert (conf.worker_pool, conf.task_ignore_result) == ("solo", True)


def test_a_value_of_a_secret_setting_is_not_in_the_error():
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings({"database_table_names": "hunter2"}, environ={})

    assert str(caught.value) == (
        "database_table_names must be a dict whose keys are texts, or None, got a str from arguments of the app"
    )


def test_a_password_inside_of_a_wrong_value_is_not_in_the_error():
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings({"broker_transport_options": ["redis://:hunter2@cache", {"password": "hunter2"}]}, environ={})

    assert "hunter2" not in str(caught.value)


def test_settings_that_follow_another_are_like_it_until_they_are_set():
    conf = Settings({"broker_url": "memory://a", "task_default_queue": "mail"}, environ={})

    followed = (
        conf.broker_read_url,
        conf.broker_write_url,
        conf.task_default_exchange,
        conf["task_default_routing_key"],
    )
    conf.task_default_queue = "other"

    assert followed == ("memory://a", "memory://a", "mail", "mail")
    assert conf.task_default_exchange == "other"


def test_a_dict_that_is_a_default_may_be_changed_in_place_and_is_nobody_elses():
    conf = Settings(environ={})

    conf.beat_schedule["hourly"] = {"task": "shop.count"}  # type: ignore[index]
    conf.task_default_queue = "other"

    assert conf.beat_schedule == {"hourly": {"task": "shop.count"}}
    assert Settings(environ={}).beat_schedule == {}


def test_what_was_said_is_told_apart_from_defaults():
    conf = Settings({"task_default_queue": "celery"}, environ={"CELERIAC_TASK_MAX_CRASHES": "5"})

    assert conf.value_set_for("task_default_queue")
    assert conf.value_set_for("CELERY_DEFAULT_QUEUE")
    assert not conf.value_set_for("task_routes")
    assert not conf.value_set_for("nonsense")
    assert conf.without_defaults() == {"task_default_queue": "celery", "task_max_crashes": 5}
    assert conf.changes == {"task_default_queue": "celery"}


def test_a_default_of_a_program_is_set_unless_the_setting_was():
    conf = Settings({"worker_pool": "solo"}, environ={})

    returned = (conf.setdefault("worker_pool", "prefork"), conf.setdefault("task_default_queue", "mail"))

    assert returned == (conf.worker_pool, conf.task_default_queue) == ("solo", "mail")


def test_the_table_has_what_was_said_with_secrets_hidden():
    conf = Settings({"broker_url": "redis://:hunter2@cache/0", "task_default_routing_key": "key"}, environ={})

    censored, plain, everything = conf.table(), conf.table(censored=False), conf.table(with_defaults=True)

    assert censored == {"broker_url": "redis://:********@cache/0", "task_default_routing_key": "********"}
    assert plain == {"broker_url": "redis://:hunter2@cache/0", "task_default_routing_key": "key"}
    assert list(everything) == list(SETTINGS)
    assert everything["broker_read_url"] == "redis://:********@cache/0"


def test_settings_are_described_in_lines_of_text():
    conf = Settings({"broker_url": "redis://:hunter2@cache/0", "include": ["shop.tasks"]}, environ={})

    assert conf.humanize() == "broker_url: 'redis://:********@cache/0'\ninclude: ('shop.tasks',)"
    assert "task_default_queue: 'celery'" in conf.humanize(with_defaults=True)
    assert "hunter2" in conf.humanize(censored=False)


@pytest.mark.parametrize(
    ("name", "namespace", "found"),
    [
        ("prefetch_multiplier", "", ("worker", "prefetch_multiplier", "worker_prefetch_multiplier")),
        ("Serializer", "result", ("result", "serializer", "result_serializer")),
        ("exchange", "", ("control", "exchange", "control_exchange")),
        ("task_serializer", "", (None, "task_serializer", "task_serializer")),
        ("timezone", "celery", (None, "timezone", "timezone")),
    ],
)
def test_a_setting_is_found_by_the_end_of_its_name(name, namespace, found):
    option = Settings(environ={}).find_option(name, namespace)

    assert (option.namespace, option.key, option.type.name) == found


def test_a_setting_is_read_by_the_end_of_its_name_or_by_the_parts_of_it():
    conf = Settings({"worker_pool": "solo"}, environ={})

    assert conf.find_value_for_key("pool", "worker") == conf.get_by_parts("worker", "pool") == "solo"
    with pytest.raises(KeyError):
        conf.find_option("nonsense")


def test_a_setting_is_described_by_either_name():
    conf = Settings(environ={})

    assert conf.setting("CELERYD_POOL") is SETTINGS["worker_pool"]
    with pytest.raises(UnknownSetting, match="did you mean 'worker_pool'"):
        conf.setting("worker_pol")


@pytest.mark.parametrize("make", [Settings.copy, copy.copy], ids=["method", "module"])
def test_a_copy_changes_by_itself(make):
    conf = Settings({"worker_pool": "solo"}, environ={})

    copied = make(conf)
    copied.worker_pool = "prefork"
    copied.beat_schedule["a"] = {}

    assert (conf.worker_pool, copied.worker_pool) == ("solo", "prefork")
    assert conf.beat_schedule == {}


def test_what_the_program_said_can_be_taken_back():
    conf = Settings({"worker_pool": "solo", "task_default_queue": "mail", "task_max_crashes": 5}, environ={})
    before = conf.worker_pool

    del conf["CELERYD_POOL"]
    one = (conf.worker_pool, conf.task_default_queue)
    conf.clear()

    assert (before, one, conf.task_default_queue, conf.changes) == ("solo", ("prefork", "mail"), "celery", {})
    with pytest.raises(KeyError):
        del conf["worker_pool"]


def test_the_first_of_several_settings_that_is_set_is_found():
    conf = Settings(environ={})

    assert conf.first("task_routes", "nonsense", "task_default_queue", "worker_pool") == "celery"
    assert conf.first("task_routes") is None


def test_what_python_asks_of_any_object_is_no_setting():
    conf = Settings(environ={"CELERIAC_NONSENSE": "1"})

    assert not hasattr(conf, "__html__")
    assert not hasattr(conf, "_repr_pretty_")


def test_the_repr_names_what_was_changed_but_no_values():
    conf = Settings({"broker_url": "memory://secret"}, environ={})

    assert repr(conf) == "<Settings: broker_url>"
