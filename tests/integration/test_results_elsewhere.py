"""Messages on one technology, results on another, or in another database of the same server."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from celeriac import Celery
from celeriac.exceptions import WorkerLostError
from tests.integration.project import Project, wait_until

Moved = Callable[[str], Project]


@pytest.fixture
def moved(project: Project) -> Moved:
    """Keep the results of the project in another place."""

    def move(backend: str) -> Project:
        project.use_also(f"app.conf.update(result_backend={backend!r})")
        project.app.close()
        project.app = Celery("tasks", broker=project.store.urls["broker"], backend=backend, set_as_current=False)
        return project

    return move


@pytest.fixture
def results(redis_url: str) -> Iterator[Any]:
    """Give a client of the database that results are kept in."""
    with redis.Redis.from_url(f"{redis_url}/15") as client:
        client.flushdb()
        yield client


def play(project: Project) -> list[str]:
    """Have runs end in all the ways there are; return their ids."""
    node = project.start("task_max_crashes=2")
    sums = [project.call("add", number, 1) for number in range(20)]
    flaky, failed, died = project.call("flaky", 2), project.call("fail", "no"), project.call("die")

    assert [one.get(timeout=60) for one in sums] == list(range(1, 21))
    assert asyncio.run(flaky.aget(timeout=60)) == 2
    with pytest.raises(ValueError, match="no"):
        failed.get(timeout=60)
    with pytest.raises(WorkerLostError):
        died.get(timeout=60)
    assert node.stop() == 0
    project.assert_clean()
    return [one.id for one in (*sums, flaky, failed, died)]


@pytest.mark.engines("sqlite")
def test_messages_in_sqlite_and_results_in_redis(moved: Moved, results: Any, redis_url: str) -> None:
    project = moved(f"{redis_url}/15")

    ids = play(project)

    assert set(results.keys("*meta*")) == {f"celery-task-meta-{one}".encode() for one in ids}
    assert project.store.records() == {}


@pytest.mark.engines("redis")
def test_messages_in_redis_and_results_in_sqlite(moved: Moved, project: Project) -> None:
    moved(f"sqlite:///{project.folder / 'results.db'}")

    play(project)

    assert project.store.records() == {}


@pytest.mark.engines("redis")
def test_results_in_another_database_of_one_server(moved: Moved, results: Any, redis_url: str) -> None:
    project = moved(f"{redis_url}/15?global_keyprefix=shop")

    ids = play(project)
    left = set(results.keys("*meta*"))
    project.app.AsyncResult(ids[0]).forget()
    for one in ids[1:]:
        project.app.AsyncResult(one).forget()

    assert left == {f"shop_celery-task-meta-{one}".encode() for one in ids}
    assert results.keys() == []
    assert project.store.records() == {}


@pytest.mark.engines("sqlite")
def test_a_run_that_was_recorded_is_not_begun_again_when_its_node_dies(
    moved: Moved, results: Any, redis_url: str
) -> None:
    """The node is killed after it has stored the result in Redis and before SQLite has let it ack."""
    project = moved(f"{redis_url}/15")
    node = project.start()
    result = project.call("gated", "once", "gate")
    project.wait_begun("once")

    with contextlib.closing(sqlite3.connect(project.sqlite.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        project.open_gate("gate")
        wait_until(lambda: result.ready(), what="the result")
        node.kill()
        connection.execute("ROLLBACK")
    second = project.start(name="w2")

    wait_until(project.is_empty)
    assert project.began("once") == 1
    assert second.stop() == 0
    project.assert_clean()


@pytest.mark.engines("redis")
def test_nothing_grows_with_the_calls_whose_results_were_forgotten(project: Project, redis_url: str) -> None:
    node = project.start()
    with redis.Redis.from_url(project.store.urls["broker"]) as client:
        counts = []
        for _ in range(4):
            for number in range(100):
                result = project.call("add", number, 1)
                assert result.get(timeout=60) == number + 1
                result.forget()
            for _ in range(3):
                result = project.call("flaky", 1)
                assert result.get(timeout=60) == 1
                result.forget()
            wait_until(lambda: not client.pubsub_channels("celery-task-meta-*"))
            wait_until(project.is_empty)
            counts.append((sorted(client.keys("cele*-*")), len(client.client_list())))

    assert [keys for keys, _ in counts] == [[]] * 4
    assert counts[-1][1] <= counts[0][1]
    assert node.stop() == 0
    project.assert_clean()
