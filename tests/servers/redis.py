"""Redis for tests: one private server per session, and more of them for tests that kill theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from bench.redis_server import RedisMissing, RedisServer

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
"""Options with which a server loses nothing that it has answered."""


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a server that this session has to itself, without a database number.

    `CELERIAC_TEST_REDIS_URL` names one that may be emptied instead.
    """
    given = os.environ.get("CELERIAC_TEST_REDIS_URL")
    if given:
        yield given.rstrip("/")
        return
    server = started(RedisServer(tmp_path_factory.mktemp("redis")))
    try:
        yield server.url().rpartition("/")[0]
    finally:
        server.stop()


@pytest.fixture
def redis_db(redis_url: str) -> str:
    """Give the URL of database 0 of the session's server, all of whose databases have been emptied."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return f"{redis_url}/0"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start servers of a test's own, which it may kill, stop and start again; options as for redis-server."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, *options))
        return started(servers[-1])

    yield start
    for server in servers:
        server.stop()


def started(server: RedisServer) -> RedisServer:
    """Start a server; where there is none to start, skip, and fail in CI."""
    try:
        server.start()
    except RedisMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    return server
