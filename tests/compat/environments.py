"""The two environments in which the projects run: one with stock Celery, one with the wheel of this checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from bench.peers_venv import PeersMissing, PeersVenv
from tests.stock_celery import STOCK_CELERY

_HERE: Final = Path(__file__).resolve().parent
_ROOT: Final = _HERE.parents[1]
_PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Know how programs are run.

    Attributes:
        name: of the side.
        python: its interpreter.
        variables: what the environment of its processes has besides.
    """

    name: str
    python: Path
    variables: Mapping[str, str]


@cache
def stock() -> Environment:
    """Return the environment that has Celery; without it skip, and fail in CI."""
    return Environment(name="celery", python=_present(STOCK_CELERY.interpreter), variables={})


@cache
def ours() -> Environment:
    """Return the environment that has celeriac for Celery, as a user would have installed it."""
    return Environment(
        name="celeriac",
        python=_present(_with_wheel),
        variables={"CELERIAC_AS_CELERY": "1", "PYTHONWARNINGS": "default"},
    )


def _with_wheel() -> Path:
    """Build this checkout and install it. Processes of a test run take turns; one does it."""
    venv = PeersVenv(folder=_HERE / ".venv-celeriac", requirements=_HERE / "celeriac.txt")
    python = venv.interpreter()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    done = venv.folder / "run.txt"
    with venv.folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != run:
            wheels = venv.folder / "wheels"
            shutil.rmtree(wheels, ignore_errors=True)
            _run(python, *_PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(_ROOT))
            (wheel,) = wheels.glob("celeriac-*.whl")
            needs, needed = (_ROOT / "pyproject.toml").read_text(), venv.folder / "pyproject.toml"
            is_new = not needed.exists()
            if is_new or needed.read_text() != needs:
                _run(python, *_PIP, "install", str(wheel))  # with what it needs
                needed.write_text(needs)
            if not is_new:  # another wheel of the same version may be there
                _run(python, *_PIP, "install", "--no-deps", "--force-reinstall", str(wheel))
            done.write_text(run)
    return python


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise PeersMissing(f"{' '.join(map(str, argv))} failed: {done.stderr.strip()[-800:]}")


def _present(install: Callable[[], Path]) -> Path:
    try:
        return install()
    except PeersMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
