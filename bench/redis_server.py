"""A Redis of our own: on a free loopback port, in a folder of its own, started and ended by its process id."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.processes import ended

PORT_VARIABLE: Final = "BENCH_REDIS_PORT"
MESSAGES: Final = 0
RESULTS: Final = 1  # a database of their own, so that its number of keys is the number of results

_IN_MEMORY: Final = ("--save", "", "--appendonly", "no")
_ANSWERS_WITHIN: Final = 10.0
_PORTS: Final = range(12_000, 22_000)
"""Below those that systems give to connections: from 32,768 on Linux, from 49,152 elsewhere."""
_CHANCE: Final = random.SystemRandom()  # Hypothesis seeds the other one, with the same in all processes
_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Processes that test beside each other choose from different ports."""
_given: deque[int] = deque(maxlen=100)
"""The ports that this process was told last: perhaps for servers that do not listen yet."""


class RedisMissing(Exception):
    """There is no redis-server here, and the text says how to get one."""


def url(database: int) -> str:
    """Return where an entrant finds its messages or its results; the run says the port in the environment."""
    return f"redis://127.0.0.1:{os.environ[PORT_VARIABLE]}/{database}"


class RedisServer:
    """Run one redis-server, which may be killed and started again in its folder and on its port.

    Args:
        folder: where it keeps its files and its log.
        options: further arguments; without any it keeps nothing on disk, which is as fast as Redis gets.
        port: None takes a free one.
    """

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._options = options or _IN_MEMORY
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that runs now, or ran last."""
        assert self._process is not None, "start() comes first"
        return self._process

    def start(self) -> None:
        """Start it, and wait until it takes connections (it may still be loading, or want a password)."""
        argv = [_program(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), *self._options]
        log = self.folder / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(argv, stdout=output, stderr=output, start_new_session=True)
        _wait_until_it_answers(self._process, self.port, log)

    def kill(self) -> None:
        """End it as a power cut of its machine would, but for what the system still writes."""
        self.process.kill()
        self.process.wait(_ANSWERS_WITHIN)

    def stop(self) -> None:
        """End it; may be called twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(_ANSWERS_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Run a server without persistence and yield its port."""
    server = RedisServer(folder)
    server.start()
    with ended(server.process):
        yield server.port


def version() -> str:
    """Return what `redis-server --version` says of itself."""
    said = subprocess.run([_program(), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    return next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "of unknown version")


def _program() -> str:
    found = shutil.which("redis-server") or _installed()
    if found is None:
        raise RedisMissing(
            "redis-server is not installed; `apt-get install redis-server` (as root), or your system's way of it"
        )
    return found


def _installed() -> str | None:
    """Install the system's package where that can be done without asking anybody."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    print("Installing redis-server ...", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "redis-server"]):
        done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, timeout=300)
        if done.returncode != 0:
            return None
    return shutil.which("redis-server")


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that the system gives no connection before somebody does.

    It would give away those that it finds itself, also to whoever tries to reach a server that has just been ended.
    """
    for _ in range(1_000):
        port = _CHANCE.choice(_PORTS[_WORKER % 16 :: 16])
        if port in _given:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.append(port)
            return port
    raise OSError(f"hardly a port between {_PORTS.start} and {_PORTS.stop} of this machine is free")


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_at = time.monotonic() + _ANSWERS_WITHIN
    while server.poll() is None and time.monotonic() < deadline_at:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith((b"+PONG", b"-NOAUTH", b"-LOADING")):
                    return
        except OSError:
            time.sleep(0.02)
    raise RedisMissing(f"redis-server did not start: {log.read_text(errors='replace')[-500:].strip()}")
