from __future__ import annotations

import warnings

import pytest

from celeriac.app.config import Settings
from celeriac.app.config.objects import ConfigSource
from celeriac.exceptions import SettingWithoutEffect


def test_a_setting_that_does_nothing_is_warned_of_with_its_origin():
    conf = Settings(environ={}).finalize()

    with pytest.warns(SettingWithoutEffect) as caught:
        conf.update(worker_state_db="/var/state")

    assert [str(warning.message) for warning in caught] == [
        "worker_state_db (from conf.update) has no effect in this version of celeriac: what is revoked is kept by the "
        "broker, for all nodes and over restarts"
    ]
    assert caught[0].filename == __file__


def test_each_is_warned_of_once():
    conf = Settings({"worker_state_db": "/a"}, environ={})

    with pytest.warns(SettingWithoutEffect, match="worker_state_db"):
        conf.finalize()
    conf.update(worker_state_db="/b")
    with pytest.warns(SettingWithoutEffect, match="s3_bucket"):
        conf.read_object(ConfigSource({"worker_state_db": "/c", "s3_bucket": "cache"}))

    conf.copy().update(s3_bucket="other", worker_state_db="/d")


def test_nothing_is_warned_of_before_settings_are_read():
    Settings({"worker_state_db": "/a"}, environ={}).update(s3_bucket="cache")


def test_settings_at_their_defaults_and_those_that_work_are_not_warned_of():
    Settings(
        {"worker_state_db": None, "worker_pool": "solo", "database_short_lived_sessions": False}, environ={}
    ).finalize()


def test_names_that_a_program_adds_are_its_own_business():
    conf = Settings(environ={})

    conf.add_defaults({"shop_limit": 5})

    assert conf.finalize()["shop_limit"] == 5


def test_nothing_changes_when_a_warning_is_an_error():
    conf = Settings(environ={}).finalize()
    version = conf.version

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SettingWithoutEffect):
            conf.update(worker_pool="solo", worker_state_db="/a")

    assert (conf.worker_pool, conf.worker_state_db, conf.version) == ("prefork", None, version)
