"""A RabbitMQ of our own: on free loopback ports, in a folder of its own, started and ended by its process ids."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from bench.processes import descendants
from bench.redis_server import free_port

PORT_VARIABLE: Final = "BENCH_RABBITMQ_PORT"
QUEUE: Final = "celery"

_ANSWERS_WITHIN: Final = 60.0
_STOPS_WITHIN: Final = 20.0
_TRIES: Final = 3


class RabbitMissing(Exception):
    """There is no rabbitmq-server here, and the text says how to get one."""


def url() -> str:
    """Return where an entrant finds its messages; the run says the port in the environment."""
    return f"amqp://guest:guest@127.0.0.1:{os.environ[PORT_VARIABLE]}//"


class RabbitServer:
    """Run one rabbitmq-server, which may be killed and started again in its folder and on its port.

    Args:
        folder: where it keeps its messages, its log and its cookie.
        settings: further lines of its configuration (`rabbitmq.conf`).
        ports: those of a server that another process has started in the folder; None takes free ones.
    """

    def __init__(self, folder: Path, *settings: str, ports: Sequence[int] | None = None) -> None:
        self.folder = folder
        self.ports = tuple(ports or _free_ports())
        """For clients, between nodes, and of the daemon that names them."""
        self._tries = 1 if ports else _TRIES
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where clients find it."""
        return self.ports[0]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that runs now, or ran last."""
        assert self._process is not None, "start() comes first"
        return self._process

    def start(self) -> None:
        """Start it, and wait until it takes connections: about 8 s.

        Another program may take a port between the choice and the use of it; the first start has others tried then.
        """
        tries, self._tries = self._tries, 1
        for left in reversed(range(tries)):
            try:
                self._start()
                return
            except RabbitMissing:
                if not left or self._process is None or self._process.poll() is None:
                    raise
            self.stop()
            self.ports = _free_ports()

    def _start(self) -> None:
        program = _program()
        (self.folder / "rabbitmq.conf").write_text(
            "\n".join([f"listeners.tcp.1 = 127.0.0.1:{self.port}", *self._settings])
        )
        (self.folder / "plugins").write_text("[].\n")
        log = self.folder / "rabbitmq.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program], env=self._environment(), stdout=output, stderr=output, start_new_session=True
            )
        deadline_at = time.monotonic() + _ANSWERS_WITHIN
        while self._process.poll() is None and time.monotonic() < deadline_at:
            if _answers(self.port):
                return
            time.sleep(0.1)
        raise RabbitMissing(f"rabbitmq-server did not start: {log.read_text(errors='replace')[-800:].strip()}")

    def kill(self) -> None:
        """End it as a power cut of its machine would, but for what the system still writes."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it; may be called twice."""
        if self._process is not None:
            self._end(signal.SIGTERM)
            self._end_naming()

    def url(self, virtual_host: str = "") -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{virtual_host}"

    def ctl(self, *words: str) -> str:
        """Run `rabbitmqctl` and return what it says."""
        argv = [str(Path(_program()).with_name("rabbitmqctl")), *words]
        return subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, timeout=120, check=True
        ).stdout

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        _, between, naming = self.ports
        return {
            **os.environ,
            "HOME": folder,
            "ERL_CRASH_DUMP": f"{folder}/erl_crash.dump",
            "RABBITMQ_NODENAME": f"rabbit{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(between),
            "ERL_EPMD_PORT": str(naming),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
        }

    def _end(self, number: signal.Signals) -> None:
        family = [one for one in descendants(self.process.pid) if "epmd" not in _name(one)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        _, left = psutil.wait_procs(family, _STOPS_WITHIN)
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOPS_WITHIN)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(_STOPS_WITHIN)

    def _end_naming(self) -> None:
        """End the daemon that names Erlang's nodes, which outlives them; it is known by its port."""
        port = str(self.ports[2])
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if "epmd" in one.name() and one.environ().get("ERL_EPMD_PORT") == port:
                    one.kill()


@contextmanager
def rabbitmq_server(folder: Path) -> Iterator[int]:
    """Run a server and yield its port."""
    home = folder / "rabbitmq"
    home.mkdir(exist_ok=True)
    server = RabbitServer(home)
    try:
        server.start()
        yield server.port
    finally:
        server.stop()


def version() -> str:
    """Return the version of the server that is installed, by the name of its folder."""
    parts = Path(_program()).resolve().parts
    return next((one.rpartition("-")[2] for one in parts if one.startswith("rabbitmq_server-")), "of unknown version")


def _free_ports() -> tuple[int, ...]:
    return tuple(free_port() for _ in range(3))


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


def _program() -> str:
    """Find the server itself: the command in the path changes its user and forgets the environment."""
    found = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if found.exists() or _installed(found):
        return str(found)
    elsewhere = shutil.which("rabbitmq-server")
    if elsewhere is None:
        raise RabbitMissing(
            "rabbitmq-server is not installed; `apt-get install rabbitmq-server` (as root), or your system's way of it"
        )
    return elsewhere


def _installed(program: Path) -> bool:
    """Install the system's package where that can be done without asking anybody."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("Installing rabbitmq-server ...", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "rabbitmq-server"]):
        done = subprocess.run(["apt-get", "-qq", *arguments], env=environment, capture_output=True, timeout=300)
        if done.returncode != 0:
            return False
    return program.exists()
