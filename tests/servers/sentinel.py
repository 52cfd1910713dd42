"""Redis with a replica and the sentinels that choose a new master, for tests that kill the old one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from bench.redis_server import RedisServer, free_port

MASTER_NAME: Final = "fleet"

_PATIENCE: Final = 30.0
_CONFIG: Final = """
port {port}
bind 127.0.0.1
dir {folder}
sentinel resolve-hostnames no
sentinel monitor {name} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {name} 1000
sentinel failover-timeout {name} 5000
sentinel parallel-syncs {name} 1
"""


class Sentinels:
    """Run a master, a replica of it, and three sentinels that watch both.

    Args:
        folder: where all keep their files.
        start: starts a server with options as for redis-server.
    """

    def __init__(self, folder: Path, start: Callable[..., RedisServer]) -> None:
        self.master = start("--save", "", "--appendonly", "no")
        self.replica = start("--save", "", "--appendonly", "no", "--replicaof", f"127.0.0.1 {self.master.port}")
        self.ports = [free_port() for _ in range(3)]
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the sentinels, and wait until each knows the replica and the others."""
        for port in self.ports:
            self._processes.append(self._start(self._folder, port))
        _wait(self._are_agreed, "the sentinels to know the replica and each other")

    def url(self, database: int = 0) -> str:
        """Return the URL of all sentinels, as Celery writes it."""
        return ";".join(f"sentinel://127.0.0.1:{port}/{database}" for port in self.ports)

    def wait_for_failover(self) -> None:
        """Wait until the replica is the master."""
        _wait(self._is_promoted, "the replica to become the master")

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(_PATIENCE)

    def _start(self, folder: Path, port: int) -> subprocess.Popen[bytes]:
        own = folder / f"sentinel-{port}"
        own.mkdir()
        config = own / "sentinel.conf"
        config.write_text(_CONFIG.format(port=port, folder=own, name=MASTER_NAME, master=self.master.port))
        with (own / "sentinel.log").open("wb") as log:
            return subprocess.Popen(
                [str(self.master.process.args[0]), str(config), "--sentinel"],  # type: ignore[index] # it is a list
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _are_agreed(self) -> bool:
        return all(self._knows(port) for port in self.ports)

    def _knows(self, port: int) -> bool:
        with redis.Redis(port=port) as client:
            found: Any = client.sentinel_master(MASTER_NAME)
        return int(found["num-slaves"]) == 1 and int(found["num-other-sentinels"]) == 2 and _in_sync(self.replica)

    def _is_promoted(self) -> bool:
        with redis.Redis(port=self.replica.port) as client:
            role: Any = client.info("replication")
        return bool(role["role"] == "master")


def _in_sync(replica: RedisServer) -> bool:
    with redis.Redis(port=replica.port) as client:
        state: Any = client.info("replication")
    return bool(state.get("master_link_status") == "up")


def _wait(claim: Callable[[], bool], what: str) -> None:
    deadline_at = time.monotonic() + _PATIENCE
    while True:
        try:
            if claim():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > deadline_at:
            pytest.fail(f"waited {_PATIENCE:g} s in vain for {what}")
        time.sleep(0.01)


@pytest.fixture
def sentinels(redis_server: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Sentinels]:
    """Give a master, a replica and three sentinels of a test's own."""
    made = Sentinels(tmp_path, redis_server)
    try:
        made.start()
        yield made
    finally:
        made.stop()
