from __future__ import annotations

import subprocess
import sys

import pytest

from celeriac.app.config import SETTINGS


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shop(shop):
    shop.app.conf.update(broker_url="redis://:hunter2@cache/0", include=["shop.tasks"])
    return shop


def test_what_was_changed_is_shown_without_passwords(command, shop):
    run = command("config", "show")

    assert run.code == 0
    assert run.out == "setting\tvalue\nbroker_url\t'redis://:********@cache/0'\ninclude\t('shop.tasks',)\n"


def test_where_a_setting_comes_from_is_shown_when_asked_for(command, shop, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[tool.celeriac]\ntask_max_crashes = 5\n")
    monkeypatch.setenv("CELERIAC_TASK_DEFAULT_QUEUE", "goods")

    run = command("config", "show", "--origin", "-b", "memory://a")

    assert run.out.splitlines() == [
        "setting\tvalue\torigin",
        "broker_url\t'memory://a'\tcommand line",
        "include\t('shop.tasks',)\tconf.update",
        "task_default_queue\t'goods'\tenvironment CELERIAC_TASK_DEFAULT_QUEUE",
        "task_max_crashes\t5\tpyproject.toml",
    ]


def test_named_settings_are_shown_at_their_defaults_too(command, shop):
    run = command("config", "show", "--origin", "CELERYD_POOL", "task_routes")

    assert run.out == "setting\tvalue\torigin\nworker_pool\t'prefork'\tdefault\ntask_routes\tNone\tdefault\n"


def test_all_settings_are_shown_when_asked_for(command, shop):
    run = command("config", "show", "--all", "--json")

    assert [row["setting"] for row in run.document] == list(SETTINGS)


def test_json_says_everything_about_a_setting(command, shop):
    run = command("config", "show", "--json", "broker_url", "result_backend_max_retries")

    assert run.document == [
        {
            "setting": "broker_url",
            "value": "redis://:********@cache/0",
            "origin": "conf.update",
            "default": None,
            "effective": True,
        },
        {
            "setting": "result_backend_max_retries",
            "value": float("inf"),
            "origin": "default",
            "default": float("inf"),
            "effective": False,
        },
    ]


def test_a_name_that_no_setting_has_is_answered_with_the_nearest(command, shop):
    run = command("config", "show", "broker_ur")

    assert run.code == 2
    assert "there is no setting 'broker_ur'; did you mean 'broker_url'?" in run.err


def test_that_nothing_was_changed_is_said(command):
    run = command("config", "show")

    assert (run.code, run.out) == (0, "setting\tvalue\n")
    assert "Working without an app" in run.err
    assert "Every setting is at its default; --all shows them." in run.err


def test_an_app_that_was_named_and_is_not_there_is_an_error(command):
    run = command("-A", "no_such_shop", "config", "show")

    assert run.code == 2
    assert "no_such_shop" in run.err


def test_wrong_settings_are_an_error_that_says_where_they_are(command, shop, monkeypatch):
    monkeypatch.setenv("CELERIAC_TASK_MAX_CRASHES", "many")

    run = command("config", "show")

    assert run.code == 2
    assert "from environment CELERIAC_TASK_MAX_CRASHES" in run.err


def test_a_setting_without_effect_is_warned_of_in_one_line(tmp_path):
    (tmp_path / "tasks.py").write_text("from celeriac import Celery\napp = Celery('shop', s3_bucket='cache')\n")
    command = [sys.executable, "-m", "celeriac", "-q", "config", "show"]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout == "setting\tvalue\ns3_bucket\t'cache'\n"
    assert run.stderr == (
        "Warning: s3_bucket (from arguments of the app) has no effect in this version of celeriac: cloud "
        "stores keep no results in this version\n"
    )
