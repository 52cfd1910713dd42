from __future__ import annotations

import subprocess
import sys

import pytest

import celeriac

HEAVY = ["asyncio", "click", "concurrent.futures", "importlib.metadata", "inspect", "multiprocessing", "msgspec"]


def loaded_by(statement: str) -> set[str]:
    """Return the names of the modules that a statement loads in a fresh interpreter."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import celeriac") & set(HEAVY) == set()


def test_an_app_that_only_sends_loads_no_event_loop_and_no_command_line():
    statement = "from celeriac import Celery; Celery('shop').task(name='shop.print')(print)"

    unneeded = {
        "asyncio",
        "click",
        "multiprocessing",
        "concurrent.futures",
        "sqlite3",
        "tzlocal",
        "celeriac.worker",
        "celeriac.cli",
    }
    assert loaded_by(statement) & unneeded == set()


@pytest.mark.parametrize("name", [name for name in celeriac.__all__ if not name.startswith("_")])
def test_every_name_that_is_promised_is_there(name):
    assert getattr(celeriac, name) is not None
    assert name in dir(celeriac)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'celeriac' has no attribute 'Celari'"):
        _ = celeriac.Celari  # type: ignore[attr-defined]  # which is the point
