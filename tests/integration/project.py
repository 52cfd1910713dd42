"""Real projects: a folder with a tasks.py and a database, and the worker processes that a test starts in it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
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

SAMPLE_TASKS: Final = Path(__file__).with_name("tasks.py")

PATIENCE: Final = 30.0
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
    """A folder in which workers run, seen by the test as producer, as onlooker and as saboteur."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "work.db"
        self.nodes: list[Node] = []
        self.app = Celery("tasks", broker=f"sqlite:///{self.database}", set_as_current=False)
        self.use(SAMPLE_TASKS.read_text())

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

    def select(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Look into the database."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def change(self, sql: str, *parameters: object) -> None:
        """Write into the database, as anybody can."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute(sql, parameters)

    def held_by(self, node: Node) -> int:
        """Count the messages that a node has claimed and not settled."""
        sql = (
            "SELECT count(*) FROM message JOIN owner ON message.owner >> 32 = owner.number"
            " WHERE json_extract(incarnation, '$.pid') = ?"
        )
        return int(self.select(sql, node.pid)[0][0])

    def dead_reasons(self) -> list[str]:
        return [reason for (reason,) in self.select("SELECT reason FROM dead_letter ORDER BY number")]

    def assert_clean(self) -> None:
        """Nothing waits, nobody holds anything, no owner is left, and the file is in order."""
        assert self.select("SELECT id, queue, owner, eta FROM message") == []
        assert self.select("SELECT number, incarnation FROM owner") == []
        assert list(Path(f"{self.database}-owners").iterdir()) == []
        assert self.select("PRAGMA integrity_check") == [("ok",)]

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
def opened(folder: Path) -> Iterator[Project]:
    """Make a project with the sample tasks; no worker runs in it yet, and none is left at the end."""
    made = Project(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with opened(tmp_path) as made:
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
