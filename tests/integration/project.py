"""Real projects: a folder with a tasks.py, a store, and the worker processes that a test starts in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from celeriac import Celery
from celeriac.app.result import AsyncResult
from tests.integration.stores import Kept, RabbitStore, RedisStore, SqliteStore, Store

SAMPLE_TASKS: Final = Path(__file__).with_name("tasks.py")

ENGINES: Final = ("sqlite", "redis")
"""Those of most tests. `rabbitmq`, with its results in Redis, is for tests that name it."""

PATIENCE: Final = 60.0
"""Seconds after which a test gives up on something that has no deadline of its own."""

_LOOK_EVERY: Final = 0.005
_LOG_SHOWN: Final = 8_000
_NEVER_LOGGED: Final = ("Task exception was never retrieved", "Exception ignored in", "ResourceWarning")


def wait_until(claim: Callable[[], Any], *, within: float = PATIENCE, what: str = "") -> Any:
    """Return the first true value of `claim`; fail when there was none in time."""
    deadline = time.monotonic() + within
    while not (value := claim()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {within:g} s in vain for {what or claim}")
        time.sleep(_LOOK_EVERY)
    return value


class Node:
    """One worker process and those that it started."""

    def __init__(self, folder: Path, name: str, args: Sequence[str], environment: dict[str, str]) -> None:
        self.name = name
        self.log_path = _fresh(folder, name)
        self._known: dict[int, psutil.Process] = {}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", "tasks", "worker", "-n", name, *args],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def log_end(self) -> str:
        return f"--- {self.log_path.name} (pid {self.pid}, exit {self.process.poll()}) ---\n{self.log[-_LOG_SHOWN:]}"

    def wait_for_log(self, text: str, *, within: float = PATIENCE) -> None:
        def seen() -> bool:
            ended = self.process.poll() is not None  # before the look: its last words count
            if text in self.log:
                return True
            if ended:
                pytest.fail(f"{self.name} ended before it said {text!r}\n{self.log_end}")
            return False

        wait_until(seen, within=within, what=f"{text!r} of {self.name}\n{self.log_end}")

    def wait_ready(self) -> Node:
        self.wait_for_log("ready.")
        self.members()  # known from now on, also when what has started them is gone
        return self

    # -- its processes ------------------------------------------------------------------------------------------

    def members(self) -> list[psutil.Process]:
        """Return the processes of this node that run now: itself, forkserver, children and what tasks started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.pid).children(recursive=True):
                self._known.setdefault(process.pid, process)
        living = [process for process in self._known.values() if _runs(process)]
        return [psutil.Process(self.pid), *living] if self.process.poll() is None else living

    def kill(self) -> None:
        """SIGKILL all of it at once."""
        for process in self.members():
            _send(process, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def kill_supervisor(self) -> None:
        """SIGKILL the process that was started, and nothing else."""
        self.members()
        self.process.kill()
        self.process.wait(PATIENCE)

    def freeze(self) -> None:
        for process in self.members():
            _send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.members():
            _send(process, signal.SIGCONT)

    # -- its end ------------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        self.members()
        self.process.send_signal(number)

    def wait_gone(self, *, within: float = PATIENCE) -> None:
        """Wait until none of its processes is left, those included that only tasks knew of."""
        wait_until(lambda: not self.members(), within=within, what=f"the end of all of {self.name}\n{self.log_end}")

    def wait_exit(self, *, within: float = PATIENCE) -> int:
        """Return the exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} did not end within {within:g} s\n{self.log_end}")

    def stop(self, *, within: float = PATIENCE) -> int:
        """Stop it warmly; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_exit(within=within)


class Project:
    """A folder in which workers run, seen by the test as producer, as onlooker and as saboteur.

    Args:
        store: where messages and results are; None is the SQLite file ``work.db`` in the folder.
    """

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        self.store = store or SqliteStore(folder / "work.db")
        self.nodes: list[Node] = []
        self.app = Celery("tasks", set_as_current=False, **self.store.urls)
        self.use(SAMPLE_TASKS.read_text().replace(SqliteStore.source, self.store.source))

    def use(self, source: str) -> None:
        """Make this the project's tasks.py."""
        (self.folder / "tasks.py").write_text(source)

    def use_also(self, source: str) -> None:
        """Add this to the project's tasks.py."""
        self.use(f"{(self.folder / 'tasks.py').read_text()}\n\n{source}")

    def start(self, *args: str, name: str = "w1", concurrency: int = 2, ready: bool = True, **environment: str) -> Node:
        """Start a worker, and wait until it takes work."""
        node = Node(self.folder, name, ["-c", str(concurrency), *args], environment)
        self.nodes.append(node)
        return node.wait_ready() if ready else node

    # -- as producer --------------------------------------------------------------------------------------------

    def call(self, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Call a task of the project by the name of its function."""
        return self.app.send_task(f"tasks.{task}", args, **options)

    def open_gate(self, name: str) -> None:
        (self.folder / name).touch()

    # -- as onlooker --------------------------------------------------------------------------------------------

    @property
    def notes(self) -> list[list[str]]:
        """What tasks have noted so far: the words of each line, in the order of writing."""
        try:
            text = (self.folder / "notes").read_text()
        except FileNotFoundError:
            return []
        return [line.split(" ") for line in text.splitlines()]

    def began(self, name: str) -> int:
        """Count the runs of a name that have begun."""
        return sum(1 for words in self.notes if words[:2] == ["began", name])

    def runs(self) -> Counter[str]:
        """Count the runs that have begun, by name."""
        return Counter(words[1] for words in self.notes if words[0] == "began")

    def wait_begun(self, name: str, *, times: int = 1, within: float = PATIENCE) -> None:
        wait_until(lambda: self.began(name) >= times, within=within, what=f"run {times} of {name!r}\n{self.logs()}")

    def is_empty(self) -> bool:
        """Say whether nothing waits and nothing is held."""
        return self.store.is_empty()

    def kept(self) -> list[Kept]:
        """Return all messages that are not done with."""
        return self.store.kept()

    def held_by(self, node: Node) -> int:
        """Count the messages that a node has claimed and not settled."""
        return self.store.held_by(node.pid)

    def dead_reasons(self) -> list[str]:
        return self.store.dead_reasons()

    def assert_clean(self) -> None:
        """Nothing waits, nobody holds anything, no owner is left, and the store is in order."""
        self.store.assert_clean()

    @property
    def sqlite(self) -> SqliteStore:
        """The store, where a test is about the file and what is in it."""
        assert isinstance(self.store, SqliteStore), "this test is for SQLite: mark it with `engines`"
        return self.store

    def logs(self) -> str:
        return "\n".join(node.log_end for node in self.nodes)

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill what still runs; show the logs should the test have failed."""
        for node in self.nodes:
            for process in node.members():
                _send(process, signal.SIGKILL)
            node.process.wait(PATIENCE)
            print(node.log_end)
        self.app.close()
        for node in self.nodes:
            for text in _NEVER_LOGGED:
                assert text not in node.log, node.log_end


@contextlib.contextmanager
def opened(folder: Path, store: Store | None = None) -> Iterator[Project]:
    """Make a project with the sample tasks; no worker runs in it yet, and none is left at the end."""
    made = Project(folder, store)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def opened_store(engine: str, request: pytest.FixtureRequest) -> Iterator[Store | None]:
    """Give a store for a project; None for the file in its folder."""
    if engine == "sqlite":
        yield None
        return
    server = request.getfixturevalue("redis_url")
    rabbitmq = engine == "rabbitmq"
    store = RabbitStore.beside(server, request.getfixturevalue("amqp_url")) if rabbitmq else RedisStore.on(server)
    try:
        yield store
    finally:
        store.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a project on every engine, or on those that it is marked for."""
    if "engine" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        metafunc.parametrize("engine", marker.args if marker else ENGINES)


@pytest.fixture
def project(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    """Give a project whose messages and results the engine keeps."""
    with opened_store(engine, request) as store, opened(tmp_path, store) as made:
        yield made


def _fresh(folder: Path, name: str) -> Path:
    number = len(list(folder.glob(f"{name}.*.log")))
    return folder / f"{name}.{number}.log"


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
