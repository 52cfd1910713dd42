"""The app of the demo, and its one task: what a user of celeriac writes.

No URL is given, so messages and results are kept in a file of the app's own, in the user's data folder.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypedDict

from celeriac import Celery

app: Final = Celery("celeriac-demo")


class Measures(TypedDict):
    """Describe one module. What a task returns travels as JSON, so it is made of plain values."""

    lines: int
    functions: int
    classes: int
    imports: list[str]
    longest: str
    longest_lines: int


@app.task
def measure(path: str) -> Measures:
    """Parse one source file and count what is in it; a file that is no Python fails with a `SyntaxError`."""
    source = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the source, such as invalid escapes
        tree = ast.parse(source, filename=path)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    longest = max(functions, key=length, default=None)
    return {
        "lines": len(source.splitlines()),
        "functions": len(functions),
        "classes": sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree)),
        "imports": sorted(set(imported(tree))),
        "longest": longest.name if longest else "",
        "longest_lines": length(longest) if longest else 0,
    }


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function, its decorators apart."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level name of everything that a module imports, itself and its siblings apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
