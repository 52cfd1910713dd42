from __future__ import annotations

import pytest

from celeriac.app.pool_names import NAMES, pool_named


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_ours_is_itself(name):
    assert pool_named(name) == name


@pytest.mark.parametrize(
    ("celerys", "ours"),
    [
        ("processes", "prefork"),
        ("celery.concurrency.prefork:TaskPool", "prefork"),
        ("celery.concurrency.prefork.TaskPool", "prefork"),
        ("celery.concurrency.thread:TaskPool", "threads"),
        ("celery.concurrency.solo:TaskPool", "solo"),
        ("celeriac.concurrency.thread:TaskPool", "threads"),
    ],
)
def test_what_celery_calls_a_pool_is_one_of_ours(celerys, ours):
    assert pool_named(celerys) == ours


@pytest.mark.parametrize("path", ["shop.pools:Mine", "shop.pools.Mine"])
def test_a_class_of_a_users_is_named_by_its_path(path):
    assert pool_named(path) == "shop.pools:Mine"


def test_custom_is_the_class_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("CELERY_CUSTOM_WORKER_POOL", "shop.pools:Mine")

    assert pool_named("custom") == "shop.pools:Mine"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gevent", "the pool 'gevent' comes with a later version of celeriac; -P asyncio"),
        ("celery.concurrency.eventlet:TaskPool", "the pool 'eventlet' comes with a later version"),
        ("celery.concurrency.base:BasePool", "a class of Celery's own, which this worker cannot run; choose one of"),
        ("rocket", "there is no pool 'rocket'; there are prefork, threads, asyncio, solo, and classes of your own"),
        ("not a path", "there is no pool 'not a path'"),
        ("shop.", "there is no pool"),
        ("custom", "'custom' is the class that CELERY_CUSTOM_WORKER_POOL names, and that is not set"),
    ],
)
def test_what_is_no_pool_is_answered_with_what_there_is(text, complaint, monkeypatch):
    monkeypatch.delenv("CELERY_CUSTOM_WORKER_POOL", raising=False)

    with pytest.raises(ValueError, match=complaint):
        pool_named(text)
