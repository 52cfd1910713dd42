"""Type checkers see Celery's import paths, as somebody has them who has installed the wheel."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"

PROGRAM = """
from __future__ import annotations

from typing import Any, assert_type

import celeriac.result
from celeriac import Celery, Task, signals, states, uuid
from celeriac.app import app_or_default
from celeriac.app.base import Celery as SameCelery
from celeriac.app.task import Context, Task as SameTask
from celeriac.app.utils import bugreport
from celeriac.exceptions import Retry
from celeriac.result import AsyncResult
from celeriac.signals import task_prerun
from celeriac.utils import gen_unique_id
from celeriac.utils.functional import LRUCache
from celeriac.utils.log import get_task_logger

app = Celery("shop")
logger = get_task_logger(__name__)
cache: LRUCache[str, int] = LRUCache(limit=3)
same: type[Celery] = SameCelery


@app.task
def add(x: int, y: int) -> int:
    logger.info("adding")
    return x + y


@task_prerun.connect
def before(task_id: str, **kwargs: Any) -> None:
    print(task_id, states.SUCCESS, signals.task_success)


def check(task: Task[..., int], same_task: SameTask[..., int]) -> None:
    assert_type(add.delay(1, 2), AsyncResult[int])
    assert_type(celeriac.result.AsyncResult("x").id, str)
    assert_type(app_or_default(), Celery)
    assert_type(uuid(), str)
    assert_type(Context().retries, int)
    assert_type(bugreport(app), str)
    assert_type(gen_unique_id(), str)
    assert_type(Retry("x").message, str | None)
"""

WRONG = {
    "from celeriac.utils import nothing": "nothing",
    "from celeriac.schedules import crontab": "celeriac.schedules",
    "from celeriac import nothing_of_it": "nothing_of_it",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that has celeriac, its stubs and what they need, and nothing from a checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for package in ("celeriac", "celeriac-stubs"):
        (packages / package).symlink_to(SOURCES / package)
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


def mypy(python: Path, program: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy")
    arguments = ["--strict", "--config-file=", "--python-executable", str(python), str(program)]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=program.parent, capture_output=True, text=True
    )


def basedpyright(python: Path, program: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("basedpyright")
    (program.parent / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    arguments = ["--pythonpath", str(python), str(program)]
    return subprocess.run(
        [sys.executable, "-m", "basedpyright", *arguments], cwd=program.parent, capture_output=True, text=True
    )


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_a_program_with_the_paths_of_celery_is_accepted(checker, python, tmp_path):
    program = tmp_path / "tasks.py"
    program.write_text(PROGRAM)

    run = checker(python, program)

    assert (run.returncode, run.stdout) == (0, run.stdout), run.stdout


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_what_is_missing_is_an_error(checker, python, tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text("\n".join(WRONG))

    run = checker(python, program)

    for line, name in enumerate(WRONG.values(), start=1):
        assert any(f"wrong.py:{line}:" in told and name in told for told in run.stdout.splitlines()), run.stdout
