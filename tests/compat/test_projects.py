"""Projects that were written for Celery run on stock Celery, and unchanged on celeriac with `CELERIAC_AS_CELERY=1`.

Each is a folder in `projects/`. What is run there is a worker, if the project needs one, and a program of the project's
own that raises when something is not as it has to be.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.redis_server import RedisServer
from tests.compat import environments
from tests.compat.environments import Environment
from tests.servers.redis import started

PROJECTS = Path(__file__).parent / "projects"
DATABASES = 128
READY_WITHIN = 60.0
PROGRAM_WITHIN = 90
STOPPED_WITHIN = 30.0
STOCK_TRIES = 3  # on a busy machine stock Celery loses a message or a run now and then; we may not

pytestmark = pytest.mark.timeout(600)  # the first run installs both environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Say what to run in a project's folder.

    Attributes:
        app: of which a worker runs, if any does.
        worker: more options for it.
        program: what is run beside it.
        stops_worker: the program has the worker end.
    """

    app: str | None = None
    worker: tuple[str, ...] = ()
    program: tuple[str, ...] = ("check.py",)
    stops_worker: bool = False


RUNS = {
    "tasks_package": Project(app="proj"),
    "flask_factory": Project(app="make_celery"),
    "task_classes": Project(app="crawler", worker=("-c", "1")),
    "settings_module": Project(app="reports", worker=("-Q", "reports,slow")),
    "shared_library": Project(app="shop", worker=("-Q", "celery,money")),
    "signals_audit": Project(app="audited", worker=("-c", "1")),
    "etl_canvas": Project(app="etl"),
    "routed_queues": Project(app="routed"),
    "hooking_packages": Project(app="hooked", worker=("-c", "1")),
    "remote_control": Project(app="fleet", stops_worker=True),
    "testing_suite": Project(program=("-m", "pytest", "-q", "-p", "no:cacheprovider")),
    "pytest_fixtures": Project(program=("-m", "pytest", "-q", "-p", "no:cacheprovider")),
}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Give URLs of databases of one Redis server that nobody has used."""
    folder = tmp_path_factory.mktemp("redis")
    server = started(RedisServer(folder, "--save", "", "--appendonly", "no", "--databases", str(DATABASES)))
    numbers = itertools.count()
    yield lambda: server.url(next(numbers))
    server.stop()


@pytest.mark.parametrize("name", RUNS)
def test_a_project_runs_on_celery(name: str, databases: Callable[[], str], tmp_path: Path) -> None:
    for number in range(1, STOCK_TRIES + 1):
        try:
            _run(RUNS[name], environments.stock(), tmp_path / str(number) / name, databases)
        except (AssertionError, subprocess.TimeoutExpired):
            if number == STOCK_TRIES:
                raise
        else:
            break


@pytest.mark.parametrize("name", RUNS)
def test_a_project_runs_on_celeriac(name: str, databases: Callable[[], str], tmp_path: Path) -> None:
    _run(RUNS[name], environments.ours(), tmp_path / name, databases)


def _run(project: Project, environment: Environment, folder: Path, databases: Callable[[], str]) -> None:
    shutil.copytree(PROJECTS / folder.name, folder)
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CELERY", "PYTEST", "PYTHON"))},
        **environment.variables,
        "BROKER_URL": databases(),
        "RESULT_BACKEND": databases(),
        "JOURNAL": str(folder / "journal.txt"),
        "REPORTS_SETTINGS": "conf.production",
        "C_FORCE_ROOT": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    with _worker(environment, project, folder, variables) as worker_log:
        done = subprocess.run(
            [environment.python, *project.program],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROGRAM_WITHIN,
        )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n--- worker ---\n{worker_log()[-6000:]}"


@contextmanager
def _worker(
    environment: Environment, project: Project, folder: Path, variables: dict[str, str]
) -> Iterator[Callable[[], str]]:
    """Have a worker run within the block, and end as one that is told to does."""
    log = folder / "worker.log"
    if project.app is None:
        yield lambda: ""
        return
    argv = [*("-m", "celery", "-A", project.app, "worker", "-l", "INFO", "-n", "w1@here", "-c", "2"), *project.worker]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [environment.python, *argv],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_ready(process, log)
        yield log.read_text
        if not project.stops_worker:
            process.terminate()
        assert process.wait(STOPPED_WITHIN) == 0, log.read_text()[-6000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        ended = process.poll() is not None  # before the look: its last words count
        if "ready" in log.read_text():
            return
        assert not ended, f"the worker ended with {process.returncode}:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"the worker was not ready in time:\n{log.read_text()}"
        time.sleep(0.02)


def test_a_suite_runs_on_celeriac_where_celery_is_installed_as_well(tmp_path: Path) -> None:
    environment, stock = environments.ours(), environments.stock()
    (beside,) = stock.python.parents[1].glob("lib/python*/site-packages")
    folder = tmp_path / "testing_suite"
    shutil.copytree(PROJECTS / "testing_suite", folder)
    (folder / "test_which.py").write_text("def test_which():\n    import celery\n    assert celery.__celeriac__\n")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY", "PYTEST"))}
    variables |= {**environment.variables, "PYTHONPATH": str(beside)}

    done = subprocess.run(
        [environment.python, *RUNS["testing_suite"].program],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=PROGRAM_WITHIN,
    )

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ["testing_suite", "pytest_fixtures"])
def test_a_project_runs_after_its_source_was_moved(name: str, tmp_path: Path) -> None:
    environment = environments.ours()
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name, folder)
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("CELERY", "PYTEST", "PYTHON"))
    }

    for argv in (["-m", "celeriac", "migrate-from-celery", ".", "--write"], RUNS[name].program):
        done = subprocess.run(
            [environment.python, *argv],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=PROGRAM_WITHIN,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
