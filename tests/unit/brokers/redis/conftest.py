from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers.proxy import Proxy, proxy_to
from tests.unit.brokers.redis_world import RedisWorld

__all__ = ["proxy_to"]


@pytest.fixture
def world(redis_db: str) -> Iterator[RedisWorld]:
    world = RedisWorld(redis_db)
    yield world
    world.end()


@pytest.fixture
def client(world: RedisWorld) -> Iterator[Any]:
    """Be a person who looks into the database of the world."""
    with world.client() as client:
        yield client


@pytest.fixture
def proxy(world: RedisWorld, proxy_to: Callable[[int], Proxy]) -> Proxy:
    return proxy_to(world.place.endpoints[0].port)


@pytest.fixture
def behind(proxy: Proxy) -> Iterator[RedisWorld]:
    """Be the same database, reached through a proxy that can fail."""
    behind = RedisWorld(proxy.url())
    yield behind
    behind.end()
