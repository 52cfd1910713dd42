"""RabbitMQ for tests: a private server per session, a virtual host for each test, and servers that may be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.rabbitmq_server import RabbitMissing, RabbitServer

_AT_ONCE = 25


class VirtualHosts:
    """Make virtual hosts on one server: many at a time, for one alone takes a second."""

    def __init__(self, server: RabbitServer) -> None:
        self.server = server
        self._numbers = count(1)
        self._made: list[str] = []

    def take(self) -> str:
        """Return the URL of a virtual host that nobody has used."""
        if not self._made:
            names = [f"t{number}" for number, _ in zip(self._numbers, range(_AT_ONCE), strict=False)]
            listed = ",".join(f'<<"{name}">>' for name in names)
            self.server.ctl(
                "eval",
                f'[begin rabbit_vhost:add(V, <<"tests">>), rabbit_auth_backend_internal:set_permissions('
                f'<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>) end || V <- [{listed}]], ok.',
            )
            self._made = names[::-1]
        return self.server.url(self._made.pop())


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualHosts]:
    """Give virtual hosts on a server that this session has to itself."""
    server = started(RabbitServer(tmp_path_factory.mktemp("rabbitmq")))
    try:
        yield VirtualHosts(server)
    finally:
        server.stop()


@pytest.fixture
def amqp_url(rabbitmq: VirtualHosts) -> str:
    """Give the URL of an empty virtual host."""
    return rabbitmq.take()


@pytest.fixture
def rabbitmq_server(tmp_path: Path) -> Iterator[Callable[..., RabbitServer]]:
    """Start servers of a test's own, which it may kill, stop and start again; lines of their configuration."""
    servers: list[RabbitServer] = []

    def start(*settings: str) -> RabbitServer:
        folder = tmp_path / f"rabbitmq-{len(servers)}"
        folder.mkdir()
        servers.append(RabbitServer(folder, *settings))
        return started(servers[-1])

    yield start
    for server in servers:
        server.stop()


def started(server: RabbitServer) -> RabbitServer:
    """Start a server; where there is none to start, skip, and fail in CI."""
    try:
        server.start()
    except RabbitMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    return server
