"""A Redis of our own for the peers: on a free loopback port, with nothing on disk, ended by its process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import ended

PORT_VARIABLE: Final = "BENCH_REDIS_PORT"
MESSAGES: Final = 0
RESULTS: Final = 1  # a database of their own, so that its number of keys is the number of results


class RedisMissing(Exception):
    """There is no redis-server here, and the text says how to get one."""


def url(database: int) -> str:
    """Return where an entrant finds its messages or its results; the run says the port in the environment."""
    return f"redis://127.0.0.1:{os.environ[PORT_VARIABLE]}/{database}"


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Run a server without persistence, which is as fast as Redis gets, and yield its port."""
    program = _program()
    port = _free_port()
    argv = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([*argv, "--dir", str(folder)], stdout=log, stderr=log, start_new_session=True)
    with ended(server):
        _wait_until_it_answers(server, port, folder / "redis.log")
        yield port


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_at = time.monotonic() + 10
    while server.poll() is None and time.monotonic() < deadline_at:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            time.sleep(0.02)
    raise RedisMissing(f"redis-server did not start: {log.read_text(errors='replace')[-500:].strip()}")
