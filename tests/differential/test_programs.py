"""Celery's programs do the same on celeriac: each is run on stock Celery and here, and must see the same.

What differs on purpose is declared by the program (`differs`) and must be listed in docs/coming-from-celery.md.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench.peers_venv import PeersMissing
from bench.redis_server import RedisMissing
from tests.differential.comparing import disagreements, program_names, rows_of
from tests.differential.sides import PROGRAMS, run_both

COMING_FROM_CELERY = Path(__file__).parents[2] / "docs" / "coming-from-celery.md"
PATIENCE = 600  # the first run installs Celery

pytestmark = pytest.mark.timeout(PATIENCE)


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all programs saw on Celery's side and on ours. Processes of one test run share it; one does the work."""
    base = tmp_path_factory.getbasetemp()
    common = base if worker_id == "master" else base.parent
    written = common / "differential.json"
    with (common / "differential.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not written.exists():
            written.write_text(json.dumps(_run(common / "differential")))
    found = json.loads(written.read_text())
    if isinstance(found, str):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(found)
    celery, ours = found
    return celery, ours


def _run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | str:
    folder.mkdir()
    try:
        return run_both(folder, _rows())
    except (PeersMissing, RedisMissing) as missing:
        return f"there is no Celery to compare with: {missing}"


def _rows() -> set[str]:
    return rows_of(COMING_FROM_CELERY.read_text())


@pytest.mark.parametrize("name", program_names(PROGRAMS))
def test_a_program_sees_the_same(name: str, answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    celery, ours = answers
    for side in answers:
        module = name.partition(".")[0]
        if module in side["broken"]:
            pytest.fail(f"{module} could not be imported:\n{side['broken'][module]}")

    wrong = list(disagreements(name, celery["programs"][name], ours["programs"][name], _rows()))

    assert not wrong, "\n".join(["", *wrong])
