"""The pytest plugin, in runs of pytest of its own: `pytester` would import it into this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = ("-p", "celeriac.testing.plugin")
MAIN = "import sys, pytest; sys.exit(pytest.console_main())"

CELERYS = """
import pytest

@pytest.fixture
def celery_app():
    return "Celery's own"
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run tests, given as files, and return what pytest says; `first` is run before pytest is imported."""

    def run(*options: str, first: str = "", **files: str) -> str:
        for name, source in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        done = subprocess.run(
            [sys.executable, "-c", f"{first}\n{MAIN}", "-q", "-p", "no:cacheprovider", "--strict-markers", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{os.pathsep.join(sys.path)}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout

    return run


FIXTURES = """
import sys
import pytest

@pytest.fixture(scope="session")
def celery_config():
    return {"task_default_priority": 3}

@pytest.fixture(scope="session")
def celery_worker_parameters():
    return {"queues": ("celery", "other"), "shutdown_timeout": 20}

@pytest.fixture(scope="session")
def celery_includes():
    return ["included"]

def test_app_and_worker(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert mul.delay(4, 4).get(timeout=60) == 16
    assert mul.apply_async((4, 5), queue="other").get(timeout=60) == 20
    assert celery_app.conf.task_default_priority == 3
    assert celery_worker.queues == ("celery", "other")
    assert "included" in sys.modules

@pytest.mark.celery(task_default_priority=7, result_backend="disabled://")
def test_a_mark_says_more(celery_app):
    assert (celery_app.conf.task_default_priority, celery_app.backend) == (7, None)

def test_the_current_app(celery_app, depends_on_current_app):
    from celeriac import current_app

    assert current_app.main == celery_app.main == "celery.tests"

def test_sessions(celery_session_app, celery_session_worker):
    @celery_session_app.task
    def add(x, y):
        return x + y

    assert add.delay(1, 2).get(timeout=60) == 3

def test_every_test_has_its_own_app(celery_app, celery_session_app):
    assert celery_app.broker.url != celery_session_app.broker.url
"""


def test_the_fixtures_are_those_of_celery(run):
    said = run(*PLUGIN, test_shop=FIXTURES, included="")

    assert "5 passed" in said, said


def test_they_can_be_asked_for_by_celerys_path(run):
    said = run(conftest='pytest_plugins = ["celeriac.contrib.pytest"]', test_shop=FIXTURES, included="")

    assert "5 passed" in said, said


def test_asking_for_what_is_there_already_changes_nothing(run):
    said = run(*PLUGIN, conftest='pytest_plugins = ["celeriac.contrib.pytest"]', test_shop=FIXTURES, included="")

    assert "5 passed" in said, said


def test_where_celerys_own_are_they_stay(run):
    said = run(
        *PLUGIN,
        "-p",
        "celery.contrib.pytest",
        celery____init__="",
        celery__contrib____init__="",
        celery__contrib__pytest=CELERYS,
        test_shop='def test_shop(celery_app):\n    assert celery_app == "Celery\'s own"\n',
    )

    assert "1 passed" in said, said


def test_nothing_heavy_is_imported_unless_it_is_used(run):
    heavy = ("celeriac.app", "celeriac.worker", "msgspec", "asyncio", "celeriac.testing.app")
    said = run(
        *PLUGIN,
        test_shop=f"import sys\ndef test_shop():\n    assert not {set(heavy)} & set(sys.modules)\n",
    )

    assert "1 passed" in said, said


@pytest.mark.parametrize("name", ["celery", "celeriac"])
def test_celerys_paths_are_whole_where_celeriac_came_before_pytest(run, name):
    said = run(
        *("-p", "installed", *PLUGIN),
        first="from celeriac.compat import install_as_celery; install_as_celery()",
        installed='import pytest; pytest.register_assert_rewrite("celeriac")',  # as pytest does of what has a plugin
        test_shop=f"def test_shop():\n    from {name}.worker.control import control_command\n",
    )

    assert "1 passed" in said, said


def test_celerys_paths_are_whole_for_plugins_that_pytest_imports_first(run):
    said = run(
        *("-p", "early", *PLUGIN),
        first="from celeriac.compat import install_as_celery; install_as_celery()",
        early='import pytest; pytest.register_assert_rewrite("celeriac"); import celeriac.worker.control',
        test_shop="def test_shop():\n    from celery.worker.control import control_command\n",
    )

    assert "1 passed" in said, said


TRAPPED = """
import pytest

@pytest.fixture(scope="session")
def use_celery_app_trap():
    return True

def test_shop(celery_app):
    from celeriac import current_app

    with pytest.raises(RuntimeError, match="depends on the current app"):
        current_app.send_task("x")
"""


def test_the_trap_is_asked_for_by_a_fixture(run):
    said = run(*PLUGIN, test_shop=TRAPPED)

    assert "1 passed" in said, said


def test_class_tasks_are_registered_with_the_app_of_the_session(run):
    said = run(
        *PLUGIN,
        test_shop="""
import pytest
from celeriac import Task

class Hello(Task):
    name = "hello"

    def run(self):
        return "hello"

@pytest.fixture(scope="session")
def celery_class_tasks():
    return [Hello]

def test_shop(celery_session_app, celery_session_worker):
    assert celery_session_app.send_task("hello").get(timeout=60) == "hello"
""",
    )

    assert "1 passed" in said, said
