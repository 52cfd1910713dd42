"""`make test` looks for tests marked `waits` and `serial` in two folders alone: elsewhere they would never run."""

from __future__ import annotations

import re
from pathlib import Path

_TESTS = Path(__file__).parent
_FOLDERS = [_TESTS / name for name in ("fault", "integration")]
_MARK = re.compile(r"\bmark\.(waits|serial)\b")


def _marked() -> list[Path]:
    return [path for path in _TESTS.rglob("*.py") if ".venv" not in str(path) and _MARK.search(path.read_text())]


def test_tests_that_wait_or_need_much_of_the_machine_are_where_they_are_looked_for():
    marked = _marked()
    elsewhere = [str(path) for path in marked if not any(folder in path.parents for folder in _FOLDERS)]
    assert not elsewhere, "these have tests that `make test` does not find; PATIENT in Makefile names the folders"
    assert all(any(folder in path.parents for path in marked) for folder in _FOLDERS)
    patient = re.search(r"^PATIENT = .*,(.*)\)$", (_TESTS.parent / "Makefile").read_text(), re.MULTILINE)
    assert patient is not None
    assert patient[1].split() == [str(folder.relative_to(_TESTS.parent)) for folder in _FOLDERS]
