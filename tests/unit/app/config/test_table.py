from __future__ import annotations

from typing import get_type_hints

import pytest

from celeriac.app.config import SETTINGS
from celeriac.app.config.table import GROUPS, NEW_NAMES, AllSettings, settings_of
from celeriac.app.kinds import read


def test_every_default_is_a_value_that_its_setting_accepts():
    kept = {name: read(setting.kind, name, setting.default) for name, setting in SETTINGS.items()}

    assert kept == {name: setting.default for name, setting in SETTINGS.items()}


def test_every_setting_has_a_type_for_readers_of_the_code():
    assert set(get_type_hints(AllSettings)) - {"TITLE", "WHY"} == set(SETTINGS)


def test_every_setting_is_explained():
    assert [name for name, setting in SETTINGS.items() if not setting.doc.endswith(".")] == []


def test_every_setting_without_effect_says_why():
    assert [name for name, setting in SETTINGS.items() if bool(setting.why) is setting.effective] == []
    assert not any(setting.why.endswith(".") for setting in SETTINGS.values())


def test_every_setting_is_in_one_group():
    names = [setting.name for group in GROUPS for setting in settings_of(group)]

    assert sorted(names) == sorted(SETTINGS)
    assert all(group.TITLE for group in GROUPS)


def test_no_two_settings_have_one_old_name():
    assert len(NEW_NAMES) == sum(setting.old is not None for setting in SETTINGS.values())
    assert not set(NEW_NAMES) & set(SETTINGS)


def test_the_old_names_are_those_of_celery():
    assert NEW_NAMES["CELERY_MESSAGE_COMPRESSION"] == "task_compression"
    assert NEW_NAMES["CELERYD_TASK_TIME_LIMIT"] == "task_time_limit"
    assert NEW_NAMES["ENABLE_UTC"] == "enable_utc"


def test_a_setting_knows_its_group_and_its_old_name():
    described = SETTINGS["task_acks_late"]

    assert (described.name, described.group, described.old) == ("task_acks_late", "Tasks", "CELERY_ACKS_LATE")


EXAMPLES = [(name, example) for name, setting in SETTINGS.items() for example in setting.kind.examples]


def test_every_kind_has_examples():
    assert {name for name, _ in EXAMPLES} == set(SETTINGS)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(EXAMPLES)])
def test_what_a_kind_keeps_it_accepts_again(name, example):
    kind = SETTINGS[name].kind

    kept = kind.accept(example)

    assert kind.accept(kept) == kept
