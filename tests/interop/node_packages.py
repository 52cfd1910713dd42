"""Folders of node packages, made when first needed, and again when the list changes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peers_venv import PeersMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePackages:
    """What a package.json asks for, in a folder of its own.

    Attributes:
        folder: where it is.
        manifest: the package.json.
    """

    folder: Path
    manifest: Path

    def modules(self) -> Path:
        """Return the folder for `NODE_PATH`, after installing into it if need be. Processes take turns.

        Raises:
            PeersMissing: there is no node here, or its packages cannot be had; the text says what to do.
        """
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise PeersMissing(f"{program} is not installed; `make servers` as root does it, or your system's way")
        installed = self.folder / "installed.json"  # a copy of the list that this folder was made from
        wanted = self.manifest.read_text()
        with self.folder.with_suffix(".lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not installed.exists() or installed.read_text() != wanted:
                self._install(wanted)
                installed.write_text(wanted)
        return self.folder / "node_modules"

    def _install(self, wanted: str) -> None:
        print(f"Installing node packages into {self.folder} ...", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "package.json").write_text(wanted)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        done = subprocess.run(npm, cwd=self.folder, env={**os.environ}, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise PeersMissing(f"`{' '.join(npm)}` in {self.folder} failed: {done.stderr.strip()[-800:]}")


_HERE: Final = Path(__file__).resolve().parent

CELERY_NODE: Final = NodePackages(folder=_HERE / ".venv-node", manifest=_HERE / "node" / "package.json")
