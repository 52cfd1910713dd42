"""Celery as it is today, in one environment for all suites that run it beside celeriac: installing it takes 20 s."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.peers_venv import PeersVenv

_HERE: Final = Path(__file__).resolve().parent

STOCK_CELERY: Final = PeersVenv(folder=_HERE / ".venv-celery", requirements=_HERE / "celery.txt")
