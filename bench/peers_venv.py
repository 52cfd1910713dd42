"""Environments for other projects, apart from our own: made when first needed, and again when the list changes."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_VERSIONS: Final = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class PeersMissing(Exception):
    """The peers could not be installed, and the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersVenv:
    """An environment for the packages of a list.

    Attributes:
        folder: where it is.
        requirements: the list, as pip reads it.
    """

    folder: Path
    requirements: Path

    def interpreter(self) -> Path:
        """Return the Python that has the peers, after installing them if need be. Processes take turns."""
        python = self.folder / "bin" / "python"
        installed = self.folder / "installed.txt"  # a copy of the list that this environment was made from
        wanted = self.requirements.read_text()
        with self.folder.with_suffix(".lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not installed.exists() or installed.read_text() != wanted:
                print(f"Installing the peers into {self.folder} ...", file=sys.stderr)
                _run(sys.executable, "-m", "venv", "--clear", str(self.folder))
                pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                _run(*pip, "-r", str(self.requirements))
                installed.write_text(wanted)
        return python


_HERE: Final = Path(__file__).resolve().parent


def bench_peers(name: str) -> PeersVenv:
    """Return the environment of the peers whose list is `bench/peers/<name>.txt`."""
    return PeersVenv(folder=_HERE / f".venv-{name}", requirements=_HERE / "peers" / f"{name}.txt")


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
