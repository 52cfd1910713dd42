"""The command `celery`, for an environment that has celeriac in place of Celery."""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from celeriac.compat.distribution import CeleryStoodFor
from celeriac.exceptions import ImproperlyConfigured

_MARK: Final = "# Written by `python -m celeriac.compat install-command`; `remove-command` deletes it."
_SHEBANG_MAX: Final = 127  # Linux cuts what is longer


def script_for(python: str) -> str:
    """Return a program that is `celeriac --as-celery` by another name.

    Args:
        python: path of the interpreter that runs it.
    """
    first = f"#!{python}\n"
    if " " in python or len(first) > _SHEBANG_MAX:
        first = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
    return f"""{first}{_MARK}
import sys

from celeriac.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["--as-celery", *sys.argv[1:]]))
"""


def install_command(folder: Path | None = None) -> Path:
    """Write the command and return its path. One that was written before is written anew.

    Args:
        folder: where to; None: beside the commands of this environment.

    Raises:
        ImproperlyConfigured: Celery is installed, or something else has that name.
    """
    path, installed = _path(folder), _installed()
    if installed is not None:
        raise ImproperlyConfigured(
            f"Celery {installed} is installed in {sys.prefix}, and `celery` is its command. Uninstall it first, or run "
            "`celeriac --as-celery`"
        )
    if path.exists() and not is_ours(path):
        raise ImproperlyConfigured(
            f"{path} is there, and celeriac has not written it; delete it first if nobody needs it"
        )
    path.write_text(script_for(sys.executable), encoding="utf-8")
    path.chmod(0o755)
    return path


def remove_command(folder: Path | None = None) -> Path | None:
    """Delete the command and return where it was; None when there was none.

    Raises:
        ImproperlyConfigured: what is there was not written by `install_command`.
    """
    path = _path(folder)
    if not path.exists():
        return None
    if not is_ours(path):
        raise ImproperlyConfigured(f"{path} was not written by celeriac, and stays")
    path.unlink()
    return path


def is_ours(path: Path) -> bool:
    """Tell whether a file was written by `install_command`."""
    return _MARK.encode() in path.read_bytes()


def _installed() -> str | None:
    """Return the version of the Celery that is installed, whether celeriac stands for it or not."""
    found = (one for one in distributions(name="celery") if not isinstance(one, CeleryStoodFor))
    return next((one.version for one in found), None)


def _path(folder: Path | None) -> Path:
    return (folder or Path(sysconfig.get_path("scripts"))) / ("celery" if os.name == "posix" else "celery.py")
