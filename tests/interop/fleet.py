"""A fleet on one broker: programs and workers of several kinds, each in an environment of its own.

A *kind* is what a process runs on: Celery, an older Celery, celery-node or celeriac. All Python kinds run the same
app (`shop.py`) and the same program (`client.py`).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
import redis

from bench.peers_venv import PeersMissing, PeersVenv
from tests.interop.node_packages import CELERY_NODE
from tests.stock_celery import STOCK_CELERY

PATIENCE: Final = 60.0
"""Seconds after which a test gives up on something that has no deadline of its own."""

SETTINGS: Final = {
    "accept_content": ["json", "msgpack", "yaml", "pickle"],
    "accept_pickle_from": ["celery"],
    "task_default_queue": "celery",
    "broker_connection_retry_on_startup": True,
}
"""What all processes of a fleet are told, unless a test says more. Celery passes over names that it does not know."""

HERE: Final = Path(__file__).resolve().parent
_LOOK_EVERY: Final = 0.01
_LOG_SHOWN: Final = 6_000
_VALUES: Final[dict[str, Any]] = {
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": UUID,
    "__builtins__": {"set": set, "frozenset": frozenset},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a process runs on.

    Attributes:
        name: for people, and for the folder.
        package: what `celeriac` is called in its copy of the app.
        venv: its environment; None is the one that the tests run in.
        worker: the worker's command line, after the interpreter.
    """

    name: str
    package: str
    venv: PeersVenv | None
    worker: tuple[str, ...] = ()

    def python(self) -> Path:
        """Return the interpreter, after installing what it needs; skip without it, and fail in CI."""
        return Path(sys.executable) if self.venv is None else present(self.venv.interpreter)


_STOCK_WORKER: Final = ("-m", "celery", "-A", "shop", "worker", "-l", "INFO")

CELERIAC: Final = Kind(
    name="celeriac", package="celeriac", venv=None, worker=("-m", "celeriac", "-A", "shop", "worker")
)
CELERY: Final = Kind(
    name="celery",
    package="celery",
    venv=STOCK_CELERY,
    worker=_STOCK_WORKER,
)
CELERY_5_3: Final = Kind(
    name="celery-5.3",
    package="celery",
    venv=PeersVenv(folder=HERE / ".venv-celery-5.3", requirements=HERE / "celery-5.3.txt"),
    worker=_STOCK_WORKER,
)
NODE: Final = Kind(name="celery-node", package="celery-node", venv=None)


def present(install: Callable[[], Path]) -> Path:
    """Return where a peer is; where it cannot be had, skip, and fail in CI."""
    try:
        return install()
    except PeersMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def wait_until(claim: Callable[[], Any], *, within: float = PATIENCE, what: str | Callable[[], str] = "") -> Any:
    """Return the first true value of `claim`; fail when there was none in time."""
    deadline = time.monotonic() + within
    while not (value := claim()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {within:g} s in vain for {(what() if callable(what) else what) or claim}")
        time.sleep(_LOOK_EVERY)
    return value


class Client:
    """A program of one kind: evaluates expressions over the names of `shop.py`."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def run(self, expression: str, **values: Any) -> Any:
        """Return what an expression comes to there; names in braces are replaced by the reprs of values."""
        for name, value in values.items():
            expression = expression.replace(f"{{{name}}}", repr(value))
        kind, answer = eval(self._ask(expression), _VALUES)
        if kind == "raised":
            pytest.fail(f"{expression} raised in {self.process.args!r}:\n{answer}")
        return answer

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        with selectors.DefaultSelector() as answers:
            answers.register(self.process.stdout, selectors.EVENT_READ)
            if not answers.select(PATIENCE):
                self.process.send_signal(signal.SIGUSR1)
                time.sleep(0.5)
                self.close()
                pytest.fail(f"no answer to {line!r} within {PATIENCE:g} s\n{self._log.read_text()[-_LOG_SHOWN:]}")
        answer = self.process.stdout.readline().decode()
        if not answer:
            pytest.fail(f"{self.process.args!r} ended at {line!r}\n{self._log.read_text()[-_LOG_SHOWN:]}")
        return answer

    def close(self) -> None:
        _kill_group(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class NodeClient(Client):
    """A program of celery-node."""

    def send(self, task: str, *args: Any, protocol: int = 2, **kwargs: Any) -> str:
        """Call a task by name, and return the id."""
        call = {"task": task, "args": args, "kwargs": kwargs, "protocol": protocol}
        task_id: str = json.loads(self._ask(json.dumps(call)))
        return task_id

    def get(self, task_id: str) -> dict[str, Any]:
        """Return `{"value": …}`, or `{"error": …}` with the fields of what was thrown."""
        found: dict[str, Any] = json.loads(self._ask(json.dumps({"await": task_id})))
        return found


class Worker:
    """A worker of one kind, with all that it has started."""

    def __init__(
        self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, *, ours: bool
    ) -> None:
        self.log_path = log
        self._ours = ours
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def log_end(self) -> str:
        return f"--- {self.log_path.name} (exit {self.process.poll()}) ---\n{self.log[-_LOG_SHOWN:]}"

    def wait_for_log(self, text: str) -> None:
        def seen() -> bool:
            ended = self.process.poll() is not None  # before the look: its last words count
            if text in self.log:
                return True
            if ended:
                pytest.fail(f"the worker ended before it said {text!r}\n{self.log_end}")
            return False

        wait_until(seen, what=lambda: f"{text!r}\n{self.log_end}")

    def kill(self) -> None:
        """SIGKILL all of it at once."""
        _kill_group(self.process)

    def stop(self) -> int:
        """Stop it warmly; return the exit code.

        Workers of others hang at their end now and then, with nobody of ours about, too: then nothing can be tested.
        """
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            (pytest.fail if self._ours else pytest.xfail)(
                f"the worker did not end within {PATIENCE:g} s\n{self.log_end}"
            )


class Fleet:
    """Programs and workers that share a broker and a place for results.

    Args:
        broker: URL of a database of Redis, or of a virtual host of RabbitMQ.
        results: URL of a database of Redis, or `rpc://`.
    """

    def __init__(self, folder: Path, broker: str, results: str, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.notes_path = folder / "notes"
        self._stores = {
            name: redis.Redis.from_url(url, decode_responses=True)
            for name, url in (("broker", broker), ("results", results))
            if url.startswith("redis")
        }
        self.settings = {**SETTINGS, **(settings or {})}
        self.environment = {
            "INTEROP_BROKER": broker,
            "INTEROP_RESULTS": results,
            "INTEROP_SETTINGS": json.dumps(self.settings),
            "C_FORCE_ROOT": "1",
            "PYTHONWARNINGS": "ignore",
            "TZ": "UTC",
        }
        self.workers: list[Worker] = []
        self._clients: dict[str, Client] = {}

    @property
    def broker(self) -> redis.Redis:
        """The broker's own database, where it is one of Redis."""
        return self._stores["broker"]

    @property
    def results(self) -> redis.Redis:
        """The database of results, where there is one."""
        return self._stores["results"]

    # -- who takes part -----------------------------------------------------------------------------------------

    def client(self, kind: Kind, **settings: Any) -> Client:
        """Return the program of a kind with some more settings; it is started once."""
        name = kind.name + "".join(f"-{value}" for value in settings.values())
        if name not in self._clients:
            argv = [str(kind.python()), "client.py"]
            environment = {**self.environment, "INTEROP_SETTINGS": json.dumps({**self.settings, **settings})}
            self._clients[name] = Client(argv, self._home(kind), environment, self._log(f"client-{name}"))
        return self._clients[name]

    def node_client(self) -> NodeClient:
        """Return the program of celery-node; it is started once."""
        client = self._clients.get(NODE.name)
        if not isinstance(client, NodeClient):
            environment = {**self.environment, "NODE_PATH": str(present(CELERY_NODE.modules))}
            argv = ["node", str(HERE / "node" / "client.js")]
            client = self._clients[NODE.name] = NodeClient(argv, self.folder, environment, self._log("client-node"))
        return client

    def start(self, kind: Kind, *args: str, name: str = "", concurrency: int = 2, ready: bool = True) -> Worker:
        """Start a worker, and wait until it takes work."""
        name = name or kind.name
        if kind is NODE:
            environment = {**self.environment, "NODE_PATH": str(present(CELERY_NODE.modules))}
            argv = ["node", str(HERE / "node" / "worker.js")]
        else:
            environment = self.environment
            argv = [str(kind.python()), *kind.worker, "-n", f"{name}@shop", "-c", str(concurrency), *args]
        worker = Worker(argv, self._home(kind), environment, self._log(name), ours=kind is CELERIAC)
        self.workers.append(worker)
        if ready:
            worker.wait_for_log("ready.")
        return worker

    def start_program(self, kind: Kind, *args: str) -> Worker:
        """Start something that goes on until the end, by a command line of a kind on the app."""
        argv = [str(kind.python()), "-m", kind.package, "-A", "shop", *args]
        program = Worker(argv, self._home(kind), self.environment, self._log(kind.name), ours=kind is CELERIAC)
        self.workers.append(program)
        return program

    def command(self, kind: Kind, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command line of a kind on the app."""
        return subprocess.run(
            [str(kind.python()), "-m", kind.package, "-A", "shop", *args],
            cwd=self._home(kind),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def _home(self, kind: Kind) -> Path:
        """Return a folder with the app, spelled for that kind; what tasks write goes into one place."""
        home = self.folder / kind.name
        if not home.exists():
            home.mkdir(parents=True)
            (home / "shop.py").write_text(re.sub(r"\bceleriac\b", kind.package, (HERE / "shop.py").read_text()))
            shutil.copy(HERE / "client.py", home)
            self.notes_path.touch()
            for shared in ("notes", "gate"):
                (home / shared).symlink_to(self.folder / shared)
        return home

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.{len(list(self.folder.glob(f'{name}.*.log')))}.log"

    # -- what is seen -------------------------------------------------------------------------------------------

    def notes(self, first: str = "") -> list[list[str]]:
        """Return the words of the lines that tasks have written so far, of those that begin with `first`."""
        lines = [line.split(" ") for line in self.notes_path.read_text().splitlines()]
        return [words for words in lines if not first or words[0] == first]

    def ran(self, name: str) -> list[str]:
        """Return the packages in which a name has run, in order."""
        return [words[2] for words in self.notes("ran") if words[1] == name]

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def record(self, task_id: str) -> dict[str, Any]:
        """Return the record of a result, once its run has ended."""

        def ended() -> dict[str, Any] | None:
            raw = self.results.get(f"celery-task-meta-{task_id}")
            found: dict[str, Any] = json.loads(raw) if raw else {}
            return found if found.get("status") in ("SUCCESS", "FAILURE", "REVOKED") else None

        record: dict[str, Any] = wait_until(ended, what=lambda: f"the result of {task_id}\n{self.logs()}")
        return record

    def logs(self) -> str:
        return "\n".join(worker.log_end for worker in self.workers)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        for worker in self.workers:
            worker.kill()
            print(worker.log_end)
        for connection in self._stores.values():
            connection.close()


@contextlib.contextmanager
def opened(folder: Path, broker: str, results: str, settings: Mapping[str, Any] | None = None) -> Iterator[Fleet]:
    """Make a fleet, without anybody in it yet; nobody is left at the end."""
    fleet = Fleet(folder, broker, results, settings)
    try:
        yield fleet
    finally:
        fleet.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
