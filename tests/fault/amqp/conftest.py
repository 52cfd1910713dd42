from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.rabbitmq_server import RabbitServer
from bench.redis_server import RedisServer
from tests.integration.project import Project, opened
from tests.integration.stores import RabbitStore


@pytest.fixture
def project_on(tmp_path: Path) -> Iterator[Callable[..., Project]]:
    """Make a project whose messages are on RabbitMQ, and whose results are in Redis."""
    with contextlib.ExitStack() as stack:

        def make(server: RabbitServer, *, results_on: RedisServer, **settings: object) -> Project:
            folder = tmp_path / "project"
            folder.mkdir()
            store = RabbitStore(server.url(), results=results_on.url())
            stack.callback(store.close)
            project = stack.enter_context(opened(folder, store))
            if settings:
                project.app.conf.update(settings)
                project.use_also(f"app.conf.update({settings!r})")
            return project

        yield make
