from __future__ import annotations

import pytest

import celeriac
from celeriac import Celery
from celeriac.app.reporting import bugreport


@pytest.fixture
def app():
    return Celery("shop", broker="memory://", set_as_current=False, task_default_queue="orders")


def test_a_report_tells_versions_platform_stores_and_settings(app):
    report = app.bugreport()

    for told in (f"celeriac:{celeriac.__version__} py:3", "sqlite:", "system:", "shop, tasks:", "transport:memory://"):
        assert told in report
    assert "task_default_queue: 'orders'" in report


def test_a_setting_at_its_default_is_not_told(app):
    assert "task_track_started" not in app.bugreport()


def test_a_report_has_no_password(app):
    app.conf.result_backend = "redis://user:hunter2@cache/0"

    report = app.bugreport()

    assert "redis" in report
    assert "hunter2" not in report


@pytest.mark.parametrize("url", ["carrier-pigeon://nowhere", None])
def test_a_store_that_cannot_be_made_does_not_stop_the_report(app, url, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELERIAC_HOME", str(tmp_path / "file" / "home"))
    app.conf.broker_url = url

    assert f"transport:{url or ''}" in app.bugreport()


def test_without_an_app_the_current_one_is_meant(app, monkeypatch):
    monkeypatch.setattr("celeriac.app.current._current", app)

    assert celeriac.bugreport() == bugreport(app) == app.bugreport()
