"""A Redis server for all fleets, two databases of it for each, or a virtual host of RabbitMQ; workers that tests share.

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
from tests.servers.rabbitmq import VirtualHosts
from tests.servers.redis import started

DATABASES = 256

ON_RABBITMQ = " on rabbitmq"

WAYS = {
    "celery to celery": (CELERY, CELERY),
    "celery to celery 5.3": (CELERY, CELERY_5_3),
    "celery to celeriac": (CELERY, CELERIAC),
    "celeriac to celery": (CELERIAC, CELERY),
    "celery 5.3 to celeriac": (CELERY_5_3, CELERIAC),
    "celeriac to celery 5.3": (CELERIAC, CELERY_5_3),
    f"celery to celery{ON_RABBITMQ}": (CELERY, CELERY),
    f"celery to celeriac{ON_RABBITMQ}": (CELERY, CELERIAC),
    f"celeriac to celery{ON_RABBITMQ}": (CELERIAC, CELERY),
    f"celery 5.3 to celeriac{ON_RABBITMQ}": (CELERY_5_3, CELERIAC),
    f"celeriac to celery 5.3{ON_RABBITMQ}": (CELERIAC, CELERY_5_3),
}
AT_FULL_SIZE = (
    f"celery to celery{ON_RABBITMQ}",
    f"celery 5.3 to celeriac{ON_RABBITMQ}",
    f"celeriac to celery 5.3{ON_RABBITMQ}",
)
"""Of the older Celery on RabbitMQ, `test_rabbitmq.py` has the plain part at every size."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis server with a lot of databases."""
    folder = tmp_path_factory.mktemp("interop-redis")
    server = started(RedisServer(folder, "--save", "", "--appendonly", "no", "--databases", str(2 * DATABASES)))
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


@pytest.fixture(scope="session")
def open_fleet_on_rabbitmq(
    server: RedisServer, rabbitmq: VirtualHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Fleet]]:
    """Open fleets with a virtual host each, and a database of results unless `results` names another place for them."""
    numbers = itertools.count()
    with ExitStack() as fleets:

        def open_one(results: str | None = None, **settings: Any) -> Fleet:
            folder = tmp_path_factory.mktemp("fleet")
            found = results or server.url(DATABASES + next(numbers) % DATABASES)
            return fleets.enter_context(opened(folder, rabbitmq.take(), found, settings))

        yield open_one


@pytest.fixture
def fleet(server: RedisServer, open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Give a test a fleet of its own."""
    made = open_fleet()
    yield made
    made.close()


@pytest.fixture(scope="session")
def made_ways() -> dict[str, Way]:
    """Hold the ways there are, with the workers at their ends; each is made once."""
    return {}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.full if name in AT_FULL_SIZE else ()) for name in WAYS])
def way(request: pytest.FixtureRequest, made_ways: dict[str, Way]) -> Way:
    """Give each way in turn."""
    name = request.param
    if name not in made_ways:
        producer, worker = WAYS[name]
        open_one = "open_fleet_on_rabbitmq" if name.endswith(ON_RABBITMQ) else "open_fleet"
        fleet = request.getfixturevalue(open_one)()  # where nobody asks for it, no RabbitMQ is started
        fleet.start(worker)
        made_ways[name] = Way(fleet=fleet, producer=producer, consumer=worker)
    return made_ways[name]
