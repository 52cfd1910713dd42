from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.app.config import Settings
from celeriac.app.stores import InMemory, InSqlite, default_database, make_backend, make_broker, read_url
from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SqliteBackend
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Message


@pytest.fixture
def conf():
    return Settings({}, environ={})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("memory://", InMemory("default")),
        ("memory://orders", InMemory("orders")),
        ("memory://orders/", InMemory("orders")),
        ("sqlite:///orders.db", InSqlite(Path("orders.db"))),
        ("sqlite:///data/orders.db", InSqlite(Path("data/orders.db"))),
        ("sqlite:////var/lib/orders.db", InSqlite(Path("/var/lib/orders.db"))),
        ("sqlite:////var/lib/my%20orders#1.db", InSqlite(Path("/var/lib/my%20orders#1.db"))),
        ("sqlite:///orders.db?synchronous=FULL", InSqlite(Path("orders.db"), "FULL")),
        ("sqlite:///orders.db?synchronous=normal", InSqlite(Path("orders.db"), "NORMAL")),
    ],
)
def test_urls_are_read_as_sqlalchemy_spells_them(url, place):
    assert read_url(url, "broker_url") == place


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqla+sqlite:///orders.db", "broker_url is spelled sqlite:///orders.db here, without the 'sqla+' in front"),
        (
            "db+sqlite:////var/orders.db",
            "broker_url is spelled sqlite:////var/orders.db here, without the 'db+' in front",
        ),
        ("sqlite://orders.db", "needs three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite://", "needs three slashes"),
        ("sqlite:///:memory:", "names no file; memory:// keeps things in this process"),
        ("sqlite:///orders.db?synchronous=OFF", "may only say ?synchronous=NORMAL or ?synchronous=FULL"),
        ("sqlite:///orders.db?timeout=5", "may only say ?synchronous=NORMAL or ?synchronous=FULL"),
        ("sqlite:///a.db;sqlite:///b.db", "broker_url names several places, and this version uses one"),
        (
            "orders.db",
            "broker_url is no URL, it has no '://' in it. There are sqlite:///relative.db, ",
        ),
    ],
)
def test_a_url_that_means_nothing_is_answered_with_what_would(url, error):
    with pytest.raises(ImproperlyConfigured) as caught:
        read_url(url, "broker_url")

    assert error in str(caught.value)


def test_an_unknown_technology_is_named_without_its_password():
    with pytest.raises(ImproperlyConfigured) as caught:
        read_url("mongodb://:secret@cache:27017/0", "result_backend")

    assert "result_backend names a technology that this version does not have: 'mongodb'" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_technology_of_celery_is_named_where_no_url_says_it():
    with pytest.raises(ImproperlyConfigured, match="technology that this version does not have: 'django-db'"):
        read_url("django-db", "result_backend")


def test_the_broker_gets_the_settings_that_concern_it(tmp_path):
    conf = Settings({"dead_letter_max": 5, "dead_letter_expires": 60, "message_max_bytes": 5000}, environ={})

    broker = make_broker("memory://limited", conf, None)

    assert isinstance(broker, MemoryBroker)
    assert (broker.dead_letter_max, broker.dead_letter_expires, broker.message_max_bytes) == (5, 60.0, 5000)


def test_a_sqlite_url_makes_a_broker_and_a_backend_on_that_file(conf, tmp_path):
    url = f"sqlite:///{tmp_path}/orders.db"

    broker, backend = make_broker(url, conf, None), make_backend(url, None, conf, None)

    assert isinstance(broker, SqliteBroker)
    assert isinstance(backend, SqliteBackend)
    assert broker.path == backend.path == tmp_path / "orders.db"


@pytest.mark.parametrize("broker_url", ["memory://shared", "sqlite:///{}/shared.db", None])
def test_without_a_url_results_are_kept_in_the_brokers_own_store(conf, tmp_path, broker_url):
    broker_url = broker_url and broker_url.format(tmp_path)

    broker = make_broker(broker_url, conf, "shop")
    backend = make_backend(None, broker_url, conf, "shop")

    assert backend is not None
    assert backend.url == broker.url


def test_results_can_be_kept_elsewhere(conf, tmp_path):
    backend = make_backend("memory://results", f"sqlite:///{tmp_path}/orders.db", conf, None)

    assert isinstance(backend, MemoryBackend)
    assert backend.url == "memory://results"


@pytest.mark.parametrize(
    ("broker_url", "where"), [("memory://shop", "memory://shop"), ("sqlite:////x/q.sqlite3", "memory://default")]
)
def test_celerys_name_for_results_in_memory_is_understood(conf, broker_url, where):
    backend = make_backend("cache+memory://", broker_url, conf, None)

    assert backend is not None
    assert backend.url == where


@pytest.mark.parametrize("url", ["disabled", "disabled://"])
def test_results_can_be_kept_nowhere(conf, url):
    assert make_backend(url, "memory://", conf, None) is None


def test_every_app_without_a_url_has_its_own_file(monkeypatch, tmp_path):
    monkeypatch.setenv("CELERIAC_HOME", str(tmp_path / "home"))

    files = [default_database(name) for name in ("shop", None, "../etc/x y")]

    assert [file.name for file in files] == ["shop.sqlite3", "default.sqlite3", ".._etc_x_y.sqlite3"]
    assert {file.parent for file in files} == {tmp_path / "home"}


def test_without_a_home_of_ours_the_file_is_in_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("CELERIAC_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")

    file = default_database("shop")

    assert file == tmp_path / "celeriac" / "shop.sqlite3"
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_named_with_the_cure(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CELERIAC_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(ImproperlyConfigured) as caught:
        default_database("shop")

    assert str(tmp_path / "file" / "home") in str(caught.value)
    assert "CELERIAC_HOME" in str(caught.value)


def test_making_adapters_touches_no_file(conf, tmp_path):
    url = f"sqlite:///{tmp_path}/orders.db"

    make_broker(url, conf, None)
    make_backend(url, None, conf, None)

    assert list(tmp_path.iterdir()) == []


def test_two_brokers_of_one_name_in_memory_are_one_store(conf):
    message = Message(task_id="run-1", queue="q", headers=b"{}", body=b"[]")

    make_broker("memory://two-brokers", conf, None).publish([message], deadline_at=0.0)

    [depth] = make_broker("memory://two-brokers", conf, None).depths()
    assert depth.ready == 1
