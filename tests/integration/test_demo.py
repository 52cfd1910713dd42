"""The demo does what the README says: on a sample of its work, and when it is stopped halfway."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

REPOSITORY: Final = Path(__file__).parent.parent.parent
PATIENCE: Final = 60.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What the demo, and the commands that it shows, see: a data folder of their own."""
    return {**os.environ, "CELERIAC_HOME": str(tmp_path / "home")}


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "demo", *arguments], environment)


def test_the_demo_reports_on_a_sample_of_the_standard_library(environment: dict[str, str]) -> None:
    done = demo(environment, "--limit", "40")

    assert done.returncode == 0, done.stderr
    assert "100 %: 40 of 40" in done.stderr
    for heading in ("Largest modules", "Most imported", "Totals: ", "40 tasks in "):
        assert heading in done.stdout


def test_what_cannot_be_parsed_is_a_failed_task_with_its_error(environment: dict[str, str], tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "good.py").write_text("import os\n\ndef cwd():\n    return os.getcwd()\n", encoding="utf-8")
    (code / "bad.py").write_text("def nothing(:\n", encoding="utf-8")

    done = demo(environment, str(code))

    assert done.returncode == 0, done.stderr
    assert "Failed tasks: 1" in done.stdout
    assert re.search(r"bad +SyntaxError: invalid syntax", done.stdout)
    assert "Totals: modules 1, lines 4, functions 1, classes 0, failed 1." in done.stdout


def test_the_commands_it_shows_can_be_pasted(environment: dict[str, str], tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "good.py").write_text("import os\n", encoding="utf-8")
    (code / "bad.py").write_text("def nothing(:\n", encoding="utf-8")
    shown = re.findall(r"^  (\S+ -A demo\.tasks result \S+)$", demo(environment, str(code)).stdout, re.MULTILINE)

    returned, failed = (run(["sh", "-c", command], environment) for command in shown)

    assert (returned.returncode, failed.returncode) == (0, 1)
    assert "'imports': ['os']" in returned.stdout
    assert "SyntaxError" in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stopping_the_demo_halfway_stops_its_worker(environment: dict[str, str], number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    with process.stderr as said:
        seen = [next(line for line in said if line.startswith("10 %"))]
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        seen += said
    code = process.wait(PATIENCE)
    left = [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    assert code == 130
    assert "".join(seen).endswith("Stopped, and the worker with it. The next run starts afresh.\n")
    assert "Traceback" not in "".join(seen)
    assert len(started) >= 4, "worker, forkserver and two children"
    assert left == []
