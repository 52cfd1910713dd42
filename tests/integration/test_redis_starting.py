"""Workers that are there before their Redis, and what they say of one that may lose something."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.redis_server import RedisServer, free_port
from tests.integration.project import Project, wait_until
from tests.integration.stores import RedisStore
from tests.servers.redis import DURABLE, started

pytestmark = pytest.mark.waits

Server = Callable[..., RedisServer]


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[RedisServer]:
    """Give a server that does not run yet."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder, *DURABLE, port=free_port())
    yield server
    server.stop()


def project_on(server: RedisServer, folder: Path) -> Project:
    place = folder / "project"
    place.mkdir()
    return Project(place, RedisStore(server.url()))


@pytest.fixture
def waiting(absent: RedisServer, tmp_path: Path) -> Iterator[Project]:
    project = project_on(absent, tmp_path)
    yield project
    for node in project.nodes:
        node.kill()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_waits_for_its_broker_with_a_line_per_attempt(waiting: Project, absent: RedisServer, pool: str):
    node = waiting.start("-P", pool, ready=False)

    node.wait_for_log("Trying again in")
    node.wait_for_log("(2/100)")
    started(absent)
    node.wait_ready()

    assert waiting.call("add", 1, 2).get(timeout=60) == 3
    lines = [line for line in node.log.splitlines() if "Cannot connect to" in line]
    assert len(lines) >= 2
    assert all("refused the connection" in line and absent.url() in line for line in lines)


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_that_waits_can_be_stopped(waiting: Project, pool: str):
    node = waiting.start("-P", pool, ready=False)
    node.wait_for_log("Trying again in")
    wait_until(lambda: catches(node.pid, signal.SIGTERM))  # in `solo` another process said that

    node.signal(signal.SIGTERM)

    assert node.wait_exit() == 0
    node.wait_gone()


def catches(pid: int, number: int) -> bool:
    """Say whether a process has a handler for a signal."""
    caught = re.findall(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught[0], 16) & 1 << (number - 1))


def test_waiting_ends_after_as_many_attempts_as_are_allowed(waiting: Project):
    node = waiting.start("broker_connection_max_retries=1", ready=False)

    assert node.wait_exit() == 69
    assert node.log.count("Trying again in") == 1


@pytest.mark.parametrize("setting", ["broker_connection_retry_on_startup", "broker_connection_retry"])
def test_a_worker_that_is_not_to_wait_does_not(waiting: Project, setting: str):
    node = waiting.start(f"{setting}=false", ready=False)

    assert node.wait_exit() == 69
    assert "Trying again" not in node.log
    assert "refused the connection" in node.log


def test_a_worker_that_is_not_to_connect_again_ends_when_it_has_lost_its_broker(redis_server: Server, tmp_path: Path):
    server = redis_server(*DURABLE)
    project = project_on(server, tmp_path)
    node = project.start("broker_connection_retry=false")

    server.kill()

    assert node.wait_exit() == 1
    assert "broker_connection_retry is off" in node.log


def test_a_server_that_may_lose_messages_is_warned_of_and_refused_by_the_strict(redis_server: Server, tmp_path: Path):
    server = redis_server("--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    project = project_on(server, tmp_path)

    strict = project.start("--strict", ready=False, name="strict")
    node = project.start()

    assert strict.wait_exit() == 69
    for log in (node.log, strict.log):
        assert "maxmemory-policy is allkeys-lru" in log
        assert "CONFIG SET maxmemory-policy noeviction" in log
        assert "a restart loses all messages" in log
    assert node.stop() == 0


def test_a_durable_server_is_warned_of_by_nobody(redis_server: Server, tmp_path: Path):
    project = project_on(redis_server(*DURABLE), tmp_path)

    node = project.start("--strict")

    assert "WARNING" not in node.log
    assert node.stop() == 0


def test_doctor_tells_what_the_server_is_and_how_it_should_be(redis_server: Server, tmp_path: Path):
    project = project_on(redis_server("--save", "", "--appendonly", "no"), tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "-A", "tasks", "doctor"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "no persistence, noeviction" in done.stdout
    assert "CONFIG SET appendonly yes" in done.stdout


def test_an_old_server_is_refused(tmp_path: Path):
    from tests.servers.fakes import fake_redis, logged_in

    def old(words: list[bytes]) -> bytes:
        return b"+redis_version:6.0.16\r\n" if words[0] == b"INFO" else b"+PONG\r\n"

    folder = tmp_path / "project"
    folder.mkdir()
    with fake_redis(lambda words: old(words) if words[0] == b"INFO" else logged_in(old)(words)) as port:
        project = Project(folder, RedisStore(f"redis://127.0.0.1:{port}/0"))
        node = project.start(ready=False)
        code = wait_until(lambda: node.process.poll() is not None and node)
        assert code.process.returncode in {1, 2}
        assert "is version 6.0.16; celeriac needs 6.2 or newer" in node.log
