"""What is installed has one line that Python runs at each start; and the command `celery`, for who asks for it."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.compat.environments import ours

ROOT = Path(__file__).parents[2]
LINE = "celeriac-as-celery.pth"

pytestmark = pytest.mark.timeout(600)  # the first run installs the environment


def run(*argv: str | Path, variable: str | None = None, folder: Path | None = None) -> str:
    """Run a command and return what it says on either stream."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("CELER", "PYTHON"))}
    if variable is not None:
        variables["CELERIAC_AS_CELERY"] = variable
    done = subprocess.run(
        argv, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    return done.stdout.strip()


def test_a_process_imports_celery_if_its_environment_says_so_and_nothing_otherwise() -> None:
    python = ours().python

    assert run(python, "-c", "import celery; print(celery.Celery)", variable="1") == (
        "<class 'celeriac.app.application.Celery'>"
    )
    assert "No module named 'celery'" in run(python, "-c", "import celery")
    assert run(python, "-c", "import sys; print('celeriac' in sys.modules)") == "False"
    assert "No module named 'celery'" in run(python, "-c", "import celery", variable="0")


def test_the_command_celery_is_written_and_deleted() -> None:
    python = ours().python
    celery = python.with_name("celery")

    assert run(python, "-m", "celeriac.compat", "install-command") == f"Wrote {celery}."
    try:
        assert run(celery, "--version").startswith("celeriac ")
    finally:
        assert run(python, "-m", "celeriac.compat", "remove-command") == f"Deleted {celery}."
    assert not celery.exists()


def test_an_option_has_all_processes_of_a_command_import_celery(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import celery\napp = celery.Celery('shop')\n")

    said = run(ours().python, "-m", "celeriac", "--as-celery", "-A", "shop", "report", folder=tmp_path)

    assert "shop" in said
    assert "Error" not in said
    assert "No module named 'celery'" in run(ours().python, "-m", "celeriac", "-A", "shop", "report", folder=tmp_path)


def test_an_editable_install_has_the_line_too(tmp_path: Path) -> None:
    build = f"import hatchling.build as build; print(build.build_editable({str(tmp_path)!r}))"
    name = run(ours().python, "-c", build, folder=ROOT).splitlines()[-1]

    with zipfile.ZipFile(tmp_path / name) as wheel:
        assert wheel.read(LINE).decode() == (ROOT / "src" / LINE).read_text()
