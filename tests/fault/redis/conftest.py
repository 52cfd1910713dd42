from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.redis_server import RedisServer
from tests.integration.project import Project, opened
from tests.integration.stores import RedisStore
from tests.servers.proxy import Proxy, proxy_to
from tests.servers.sentinel import sentinels

__all__ = ["proxy_to", "sentinels"]

RESULTS = 1


@pytest.fixture
def project_on(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Make a project on a server: messages in database 0, results in 1 of it (as most people have it) or of another."""
    with contextlib.ExitStack() as stack:

        def make(
            server: RedisServer, *, results_on: RedisServer | None = None, through: Proxy | None = None
        ) -> Project:
            folder = tmp_path / "project"
            folder.mkdir()
            results = (results_on or server).url(RESULTS)
            reach = (through.url(), through.url(RESULTS)) if through else ()
            store = RedisStore(server.url(), results=results, reach=reach)
            stack.callback(store.close)
            return stack.enter_context(opened(folder, store))

        yield make
