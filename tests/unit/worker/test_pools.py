from __future__ import annotations

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing.pools import PoolConformance
from celeriac.worker.channel import Channel
from celeriac.worker.pools.base import Pool, divided
from celeriac.worker.pools.coroutines import USUAL_CONCURRENCY, Coroutines
from celeriac.worker.pools.prefork import Prefork
from celeriac.worker.pools.solo import Solo
from celeriac.worker.pools.table import find_pool
from celeriac.worker.pools.threads import Threads


class TestPrefork(PoolConformance):
    @pytest.fixture
    def pool(self):
        return Prefork


class TestSolo(PoolConformance):
    @pytest.fixture
    def pool(self):
        return Solo


class TestThreads(PoolConformance):
    @pytest.fixture
    def pool(self):
        return Threads


class TestCoroutines(PoolConformance):
    @pytest.fixture
    def pool(self):
        return Coroutines


class TestCoroutinesInTheLoopOfAsyncio(PoolConformance):
    @pytest.fixture
    def pool(self, monkeypatch):
        monkeypatch.setenv("CELERIAC_NO_UVLOOP", "1")
        return Coroutines


class Mine(Pool):
    name = "mine"

    @classmethod
    def layout(cls, concurrency, processes):
        return divided(concurrency, processes)

    def serve(self, channel: Channel) -> None: ...


class NoPool:
    """Be a class that has nothing to do with pools."""


def test_bodies_are_divided_as_evenly_as_possible():
    assert divided(32, 4) == (8, 8, 8, 8)
    assert divided(10, 4) == (3, 3, 2, 2)
    assert divided(5, None) == (5,)


def test_a_process_without_a_body_is_refused():
    with pytest.raises(ImproperlyConfigured, match="--processes 4 with -c 2"):
        divided(2, 4)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("prefork", Prefork),
        ("celery.concurrency.thread:TaskPool", Threads),
        ("asyncio", Coroutines),
        (f"{__name__}:Mine", Mine),
        (f"{__name__}.Mine", Mine),
        (Mine, Mine),
    ],
)
def test_a_pool_is_found_by_its_name_or_its_path_or_is_a_class(given, found):
    assert find_pool(given, "worker_pool") is found


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("rocket", "worker_pool: there is no pool 'rocket'"),
        ("no_such_module:Mine", "worker_pool names 'no_such_module:Mine', which cannot be had"),
        (f"{__name__}:NoPool", "which is no pool: it has to be a class that extends"),
        (NoPool, "which is no pool"),
    ],
)
def test_what_is_no_pool_is_refused_with_the_reason(given, complaint):
    with pytest.raises(ImproperlyConfigured, match=complaint):
        find_pool(given, "worker_pool")


def test_nodes_run_as_many_as_they_have_processors_and_coroutines_more_than_that():
    assert (Prefork.usual_concurrency(2), Threads.usual_concurrency(2)) == (2, 2)
    assert Coroutines.usual_concurrency(2) == USUAL_CONCURRENCY
