"""Which programs there are, and what counts as the same: pure."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FIRST_CELL: Final = re.compile(r"^\| (.+?) \|", re.MULTILINE)


def program_names(folder: Path) -> list[str]:
    """Return the names of the programs in a folder, without importing them: `module.function`."""
    return [
        f"{path.stem}.{node.name}"
        for path in sorted(folder.glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and any(_declares(mark) for mark in node.decorator_list)
    ]


def _declares(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "program"


def rows_of(page: str) -> set[str]:
    """Return the first cells of all tables of a Markdown page."""
    return set(_FIRST_CELL.findall(page))


def disagreements(name: str, celery: Mapping[str, Any], ours: Mapping[str, Any], rows: set[str]) -> Iterator[str]:
    """Say what is wrong with the answers of one program; nothing when it does the same on both sides.

    Args:
        name: of the program.
        celery: Celery's answer: "facts", or "error", and the "differences" that the program declares.
        ours: our answer, likewise.
        rows: what differs on purpose, as the documentation lists it.
    """
    for side, answer in (("Celery", celery), ("celeriac", ours)):
        if "error" in answer:
            yield f"{name} failed on {side}'s side:\n{answer['error']}"
    if "error" in celery or "error" in ours:
        return
    theirs, mine = comparable(celery["facts"]), comparable(ours["facts"])
    for difference in celery["differences"]:
        fact, row = difference["fact"], difference["row"]
        if not any(row in cell for cell in rows):
            yield f"{name}: no row of docs/coming-from-celery.md has {row!r} in its first cell"
        for side, facts, expected in (("Celery", theirs, "celery"), ("celeriac", mine, "ours")):
            if (got := facts.pop(fact, "no such fact")) != (wanted := comparable(difference[expected])):
                yield f"{name}: {fact!r} is said to be {wanted!r} on {side}'s side, and is {got!r}"
    if theirs != mine:
        yield f"{name} saw different things:\n{difference_of(theirs, mine)}"


def comparable(value: Any) -> Any:
    """Replace what differs between any two runs: ids by their order of appearance, and the package's name."""
    text = json.dumps(value)
    numbers: dict[str, int] = {}
    text = _ID.sub(lambda found: f"<id {numbers.setdefault(found[0], len(numbers) + 1)}>", text)
    return json.loads(re.sub(r"\bceleriac\b", "celery", text))


def difference_of(celery: Any, ours: Any) -> str:
    """Show two values line by line: `-` is what Celery saw, `+` what we saw."""
    theirs, mine = (json.dumps(one, indent=1, ensure_ascii=False).splitlines() for one in (celery, ours))
    return "\n".join(difflib.unified_diff(theirs, mine, "celery", "celeriac", lineterm="", n=2))
