"""A disk or a server without room: producers are told so, nodes live on, and nothing of what they hold is lost."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import BrokerFull
from tests.fault.redis.conftest import project_on
from tests.integration.project import Node, Project, opened
from tests.integration.stores import SqliteStore

__all__ = ["project_on"]

pytestmark = [pytest.mark.fault, pytest.mark.waits]

MIB = 1024 * 1024
DISK_BYTES = 8 * MIB
FAR_MORE_THAN_FITS = 4 * DISK_BYTES
EXTRA = 64 * 1024
"""Bytes of a call that is only there to fill what is left."""


class Room(ABC):
    """Take the room from a project's store, and give it back."""

    project: Project

    @abstractmethod
    def use_up(self) -> None: ...

    @abstractmethod
    def make(self) -> None: ...

    @abstractmethod
    def wait_felt(self, node: Node, running: list[AsyncResult]) -> None:
        """Wait until a node whose runs have ended has met the lack of room."""


class DiskRoom(Room):
    """Do it with another file on the disk of the database."""

    def __init__(self, project: Project, disk: Path) -> None:
        self.project = project
        self._filler = disk / "filler"

    def use_up(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (MIB, 4096):
                try:
                    while file.write(b"x" * size):
                        assert file.tell() <= DISK_BYTES
                except OSError:
                    continue

    def make(self) -> None:
        self._filler.unlink()

    def wait_felt(self, node: Node, running: list[AsyncResult]) -> None:
        """A settlement needs room on a disk: it is tried until there is some."""
        node.wait_for_log("no room on the disk")


class ServerRoom(Room):
    """Do it with the memory limit of a Redis server."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def use_up(self) -> None:
        client = self.project.store.client  # type: ignore[attr-defined] # it is a RedisStore
        client.config_set("maxmemory", client.info("memory")["used_memory"])

    def make(self) -> None:
        client = self.project.store.client  # type: ignore[attr-defined] # it is a RedisStore
        client.config_set("maxmemory", 0)

    def wait_felt(self, node: Node, running: list[AsyncResult]) -> None:
        """Redis takes settlements whatever it has: they are what makes room again."""
        for one in running:
            one.get(timeout=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that is a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    tried = subprocess.run(command, capture_output=True, text=True) if os.geteuid() == 0 else None
    if tried is None or tried.returncode:
        pytest.skip(f"only who may mount can have a small disk {tried.stderr if tried else ''}".strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def room(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Room]:
    """Give a project whose store has a disk, or a server, to itself."""
    if engine == "redis":
        server = request.getfixturevalue("redis_server")("--save", "")
        yield ServerRoom(request.getfixturevalue("project_on")(server))
        return
    disk = request.getfixturevalue("disk")
    store = SqliteStore(disk / "work.db")
    store.source = f'broker="sqlite:///{store.path}"'
    (tmp_path / "project").mkdir()
    with opened(tmp_path / "project", store) as project:
        yield DiskRoom(project, disk)


def test_a_full_store_refuses_calls_and_costs_no_node_and_no_run(room: Room):
    project = room.project
    node = project.start()
    pids = {process.pid for process in node.members()}
    running = [project.call("gated", f"run-{number}", "gate") for number in range(2)]
    for number in range(2):
        project.wait_begun(f"run-{number}")

    room.use_up()
    waiting = fill_the_rest(project)
    project.open_gate("gate")
    refused(project)
    room.wait_felt(node, running)
    room.make()

    for one in [*running, *waiting]:
        one.get(timeout=60)
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert set(project.runs().values()) == {1}
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert "Traceback" not in node.log, node.log_end
    assert node.stop() == 0, node.log_end
    project.assert_clean()


def fill_the_rest(project: Project) -> list[AsyncResult]:
    """Call until there is no room for even one more call; return what was accepted."""
    accepted = []
    for size in (EXTRA, 1024, 1):
        for _ in range(FAR_MORE_THAN_FITS // EXTRA):
            try:
                accepted.append(project.call("size_of", "x" * size))
            except BrokerFull:
                break
        else:
            pytest.fail("a full store takes one call after the other")
    return accepted


def refused(project: Project) -> None:
    with pytest.raises(BrokerFull, match=r"free some space|raise maxmemory") as raised:
        project.call("size_of", "x" * EXTRA)
    assert not raised.value.maybe_published
