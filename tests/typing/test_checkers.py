"""What users write is checked as it should be, by both type checkers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
FILES = ("calls.py", "helpers.py")

pytestmark = pytest.mark.timeout(300)


def test_mypy_finds_the_errors_that_are_marked_and_no_others():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *(str(FOLDER / name) for name in FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_pyright_finds_the_errors_that_are_marked_and_no_others():
    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(FOLDER / "pyright.json"), "--outputjson"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    said = json.loads(checked.stdout or "{}")
    errors = [
        f"{each['range']['start']['line'] + 1}: {each['message']}"
        for each in said.get("generalDiagnostics", [])
        if each["severity"] == "error"
    ]
    assert errors == [], checked.stderr
    assert said["summary"]["filesAnalyzed"] == len(FILES), checked.stdout + checked.stderr
