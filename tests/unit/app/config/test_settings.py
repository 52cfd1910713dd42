from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac.app.config import SETTINGS, Settings
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting

EVERY_KIND_WRONG = [
    ("worker_log_format", "%(nope)s", "must be a format of log lines, such as '%(levelname)s %(message)s', got"),
    ("worker_log_format", "%(nope)s", "Formatting field not found in record: 'nope'"),
    ("worker_log_format", "%(task_id)s", "Formatting field not found in record: 'task_id'"),
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
    ("worker_pool", "threads", "worker_pool must be one of 'prefork', 'solo', got 'threads'"),
    ("accept_content", ["json", "jsn"], "accept_content must be a list of"),
    ("task_serializer", "jsn", "task_serializer must be one of 'json', 'msgpack'"),
    ("task_routes", {"a": {"exchange": "x"}}, "the route of 'a' names exchange"),
]


def test_settings_start_at_their_defaults():
    conf = Settings({}, environ={})

    assert {name: conf[name] for name in conf} == {name: setting.default for name, setting in SETTINGS.items()}


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

    assert str(caught.value) == "there is no setting 'zzz'"


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


def test_the_repr_names_what_was_changed_but_no_values():
    conf = Settings({"broker_url": "memory://secret"}, environ={})

    assert repr(conf) == "<Settings: broker_url>"
