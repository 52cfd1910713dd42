"""The peers' own environment, `bench/.venv-peers`: made when it is first needed, and again when the list changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = HERE / ".venv-peers"
REQUIREMENTS: Final = HERE / "peers" / "requirements.txt"
INSTALLED: Final = FOLDER / "installed.txt"  # a copy of the list that this environment was made from
_VERSIONS: Final = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class PeersMissing(Exception):
    """The peers could not be installed, and the text says why."""


def interpreter() -> Path:
    """Return the Python that has the peers, after installing them if need be."""
    python = FOLDER / "bin" / "python"
    wanted = REQUIREMENTS.read_text()
    if not INSTALLED.exists() or INSTALLED.read_text() != wanted:
        print(f"Installing the peers into {FOLDER} ...", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER))
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
        INSTALLED.write_text(wanted)
    return python


def versions(python: str | Path, packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of distributions that an interpreter has."""
    answer = subprocess.run(
        [str(python), "-c", _VERSIONS, *packages], capture_output=True, text=True, timeout=30, check=True
    )
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise PeersMissing(f"`{' '.join(argv)}` failed: {done.stderr.strip()[-800:]}")
