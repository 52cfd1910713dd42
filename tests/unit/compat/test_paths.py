from __future__ import annotations

import importlib
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import celeriac
from celeriac.compat.finder import EXTENDED, ExtendingFinder, TableFinder, install
from celeriac.compat.modules import names_of
from celeriac.compat.paths import PATHS, Home, Missing

HERE = Path(__file__).parent
HOMES = [
    (path, name, home)
    for path, names in PATHS.items()
    if isinstance(names, Mapping)
    for name, home in names.items()
    if isinstance(home, Home)
]
MISSING = [
    (path, name, home.why)
    for path, names in PATHS.items()
    if isinstance(names, Mapping)
    for name, home in names.items()
    if isinstance(home, Missing)
]
CELERYS = {
    module.replace("celery", "celeriac", 1): names.split()
    for module, _, names in (
        line.partition(":") for line in (HERE / "celery-5.7.txt").read_text().splitlines() if not line.startswith("#")
    )
}


def attempt(statement: str) -> BaseException | None:
    try:
        exec(statement, {"celeriac": celeriac})
    except (ImportError, AttributeError) as exc:
        return exc
    return None


def is_real(path: str) -> bool:
    folder = Path(celeriac.__file__).parent.joinpath(*path.split(".")[1:])
    return folder.is_dir() or folder.with_suffix(".py").is_file()


def why_missing(path: str) -> Missing | None:
    """Return what the table says of a module that is missing, or inside one that is."""
    parts = path.split(".")
    rows = (PATHS.get(".".join(parts[:length])) for length in range(1, len(parts) + 1))
    return next((row for row in rows if isinstance(row, Missing)), None)


@pytest.mark.parametrize("path", CELERYS)
def test_every_public_module_and_name_of_celery_has_a_place(path):
    if why_missing(path):
        assert isinstance(attempt(f"import {path}"), ImportError)
        return
    module = importlib.import_module(path)
    told = PATHS.get(path, {})

    assert isinstance(told, Mapping)
    assert [name for name in CELERYS[path] if name not in told and not hasattr(module, name)] == []


@pytest.mark.parametrize(("path", "name", "home"), HOMES, ids=[f"{path}.{name}" for path, name, _ in HOMES])
def test_a_name_is_the_very_object_of_its_home(path, name, home):
    namespace: dict = {}
    exec(f"from {path} import {name}", namespace)

    assert namespace[name] is getattr(importlib.import_module(home.module), home.attribute)
    assert name in dir(importlib.import_module(path))


@pytest.mark.parametrize(("path", "name", "told"), MISSING, ids=[f"{path}.{name}" for path, name, _ in MISSING])
def test_a_name_that_is_missing_says_why_however_it_is_asked_for(path, name, told):
    imported = attempt(f"from {path} import {name}")
    asked_for = attempt(f"import {path}; {path}.{name}")

    assert (type(imported), type(asked_for)) == (ImportError, AttributeError)
    assert told in str(imported)
    assert told in str(asked_for)
    assert name in str(imported)


@pytest.mark.parametrize("path", [path for path, names in PATHS.items() if isinstance(names, Missing)])
def test_a_module_that_is_missing_says_why(path):
    package, _, name = path.rpartition(".")
    told = PATHS[path]

    for statement in (f"import {path}", f"from {path} import anything", f"from {package} import {name}"):
        error = attempt(statement)
        assert type(error) is ImportError
        assert str(error) == f"{path} {told.why}"  # type: ignore[union-attr]  # it is Missing
    assert type(attempt(f"import {package}; {package}.{name}")) is AttributeError


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("from celeriac.app.control.Control import revoke", "`app.control.revoke(task_id)`"),
        ("from celeriac.schedules import crontab", "comes with schedules and beat"),
        ("from celeriac.task import task", "removed from Celery in version 5"),
        ("from celeriac.task.schedules import crontab", "removed from Celery in version 5"),
        ("from celeriac.bin.worker import worker", "run `celeriac`"),
        ("import celeriac.result.AsyncResult", "write: from celeriac.result import AsyncResult"),
        ("from celeriac.app.task.Task import delay", "Task"),
    ],
)
def test_a_wrong_import_gets_help(statement, text):
    error = attempt(statement)

    assert isinstance(error, ImportError)
    assert text in str(error)


@pytest.mark.parametrize(
    "statement", ["from celeriac.utils import nothing", "from celeriac.exceptions import nothing", "import celeriac.no"]
)
def test_what_celery_does_not_have_either_is_an_error_as_of_any_module(statement):
    assert isinstance(attempt(statement), ImportError)


def test_what_celery_does_not_have_either_is_no_attribute():
    assert not hasattr(importlib.import_module("celeriac.utils"), "nothing")
    assert not hasattr(celeriac.exceptions, "nothing")
    assert not hasattr(celeriac, "beat")


def test_everything_of_a_module_can_be_imported_at_once():
    namespace: dict = {}
    exec("from celeriac.signals import *", namespace)

    assert {"task_prerun", "worker_ready", "Signal"} <= set(namespace)


def test_a_path_is_an_attribute_of_the_package_without_being_imported():
    statement = "import celeriac; print(celeriac.utils.log.get_task_logger('shop').name, celeriac.states.SUCCESS)"

    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)

    assert (run.stdout, run.stderr) == ("shop SUCCESS\n", "")


def test_importing_the_package_does_not_load_the_table():
    statement = "import sys, celeriac.app.task; print(*[name for name in sys.modules if 'celeriac.compat' in name])"

    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, check=True, text=True)

    assert set(run.stdout.split()) <= {"celeriac.compat", "celeriac.compat.finder", *TABLE_FOR_APP_TASK}


# The names that celeriac.app.task lacks are added when it is loaded, by what knows the table.
TABLE_FOR_APP_TASK = ("celeriac.compat.modules", "celeriac.compat.paths")


def test_the_finders_stand_behind_and_before_the_others_once():
    install()
    install()

    assert (sys.meta_path.count(ExtendingFinder), sys.meta_path.count(TableFinder)) == (1, 1)
    assert sys.meta_path.index(TableFinder) > sys.meta_path.index(importlib.machinery.PathFinder)
    assert sys.meta_path.index(ExtendingFinder) < sys.meta_path.index(importlib.machinery.PathFinder)


def test_modules_of_others_are_left_alone():
    assert TableFinder.find_spec("celery.result") is None
    assert ExtendingFinder.find_spec("celery.app") is None


def test_a_real_module_with_a_path_of_celery_is_known_to_lack_names():
    lacking = {path for path, names in PATHS.items() if names and path != "celeriac" and is_real(path)}

    assert lacking <= EXTENDED, "add these to EXTENDED in compat/finder.py"


@pytest.mark.parametrize("path", sorted(path for path in EXTENDED if is_real(path)))
def test_a_real_module_stays_what_it_is(path):
    module = importlib.import_module(path)

    assert module.__spec__ is not None
    assert type(module.__spec__.loader) is type(celeriac.__spec__.loader)
    assert module.__file__ == importlib.util.find_spec(path).origin  # type: ignore[union-attr]  # it is there
    for name in names_of(path):
        assert getattr(module, name) is not None


def test_a_real_module_can_be_loaded_anew():
    statement = (
        "import importlib, celeriac.app.log as log; old = log.TaskFormatter; importlib.reload(log); "
        "from celeriac.app.log import TaskFormatter; print(TaskFormatter is old)"
    )

    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)

    assert (run.stdout, run.stderr) == ("True\n", "")


def test_what_is_imported_by_such_a_path_pickles_by_its_own():
    found = importlib.import_module("celeriac.utils.collections").LimitedSet

    assert pickle.loads(pickle.dumps(found)) is found
