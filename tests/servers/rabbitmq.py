"""RabbitMQ for tests: one server per run, a virtual host of it for each test, and servers that may be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from bench.rabbitmq_server import RabbitMissing, RabbitServer
from tests.servers.rabbitmq_keeper import shared_server

_AT_ONCE = 20


class VirtualHosts:
    """Make virtual hosts on one server: some at a time, for one alone takes a second.

    Those that are used up are deleted: making one takes the longer the more queues there are, whoever has them.

    Args:
        server: it runs.
        prefix: with which nobody else begins their names there.
    """

    def __init__(self, server: RabbitServer, prefix: str) -> None:
        self.server = server
        self._prefix = prefix
        self._numbers = count(1)
        self._made: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """Return the URL of a virtual host that nobody has used."""
        if not self._made:
            names = [f"{self._prefix}{number}" for number, _ in zip(self._numbers, range(_AT_ONCE), strict=False)]
            self.server.ctl(
                "eval",
                f'spawn(fun() -> [catch rabbit_vhost:delete(V, <<"tests">>) || V <- {_erlang(self._used)}] end), '
                f'[begin rabbit_vhost:add(V, <<"tests">>), rabbit_auth_backend_internal:set_permissions('
                f'<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"tests">>) end || V <- {_erlang(names)}], ok.',
            )
            self._made, self._used = names[::-1], []
        return self.server.url(self._made.pop())

    def give_back(self, url: str) -> None:
        """Have a virtual host deleted, some time, that nobody uses any more."""
        self._used.append(url.rpartition("/")[2])


def _erlang(names: list[str]) -> str:
    return "[" + ",".join(f'<<"{name}">>' for name in names) + "]"


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualHosts]:
    """Give virtual hosts on a server that this run has to itself."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    base = tmp_path_factory.getbasetemp()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(shared_server((base.parent if worker else base) / "rabbitmq"))
        except RabbitMissing as missing:
            do_without(missing)
        yield VirtualHosts(server, f"{worker or 't'}-")


@pytest.fixture
def amqp_url(rabbitmq: VirtualHosts) -> Iterator[str]:
    """Give the URL of an empty virtual host."""
    url = rabbitmq.take()
    yield url
    rabbitmq.give_back(url)


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
        do_without(missing)
    return server


def do_without(missing: RabbitMissing) -> NoReturn:
    """Skip, and in CI fail."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
