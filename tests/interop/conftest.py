"""A Redis server for all fleets, two databases of it for each; and the workers that tests share.

A *way* is how a message goes: from a program of one kind to a worker of another. The tests that use `way` run for each,
and first of all from Celery to Celery: what does not hold there is wrong about the test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bench.redis_server import RedisServer
from tests.interop.fleet import CELERIAC, CELERY, CELERY_5_3, Fleet, opened
from tests.interop.ways import Way
from tests.servers.redis import started

DATABASES = 256

WAYS = {
    "celery to celery": (CELERY, CELERY),
    "celery to celery 5.3": (CELERY, CELERY_5_3),
    "celery to celeriac": (CELERY, CELERIAC),
    "celeriac to celery": (CELERIAC, CELERY),
    "celery 5.3 to celeriac": (CELERY_5_3, CELERIAC),
    "celeriac to celery 5.3": (CELERIAC, CELERY_5_3),
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis server with a lot of databases."""
    folder = tmp_path_factory.mktemp("interop-redis")
    server = started(RedisServer(folder, "--save", "", "--appendonly", "no", "--databases", str(DATABASES)))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def open_fleet(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Fleet]]:
    """Open fleets, each with its own databases; they are closed with the session."""
    numbers = itertools.count(0, 2)
    with ExitStack() as fleets:

        def open_one(**settings: Any) -> Fleet:
            number = next(numbers) % DATABASES
            folder = tmp_path_factory.mktemp("fleet")
            return fleets.enter_context(opened(folder, server.url(number), server.url(number + 1), settings))

        yield open_one


@pytest.fixture
def fleet(server: RedisServer, open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a test a fleet of its own."""
    made = open_fleet()
    yield made
    made.close()


@pytest.fixture(scope="session")
def fleets_of_ways(open_fleet: Callable[..., Fleet]) -> Callable[[str], Way]:
    """Return the way of a name, with the worker at its end; made once."""
    made: dict[str, Way] = {}

    def of(name: str) -> Way:
        if name not in made:
            producer, worker = WAYS[name]
            fleet = open_fleet()
            fleet.start(worker)
            made[name] = Way(fleet=fleet, producer=producer, consumer=worker)
        return made[name]

    return of


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest, fleets_of_ways: Callable[[str], Way]) -> Way:
    """Give each way in turn."""
    return fleets_of_ways(request.param)
