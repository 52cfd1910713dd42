"""Write the table as a stub package, so that type checkers see Celery's import paths as Python does.

    python -m celeriac.compat.stubs src/celeriac-stubs

The stub package is partial (PEP 561): a checker asks it first, and celeriac itself for every module that is not in it.
So it has what exists in the table only. Names that the table adds to a module of ours which has names already are
unknown to checkers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from celeriac.compat.paths import PATHS, Home, Names

_OURS: Final = Path(__file__).parents[1]
_HEADER: Final = "# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.\n"


def stub_files() -> dict[str, str]:
    """Return the files of the stub package and what is in them."""
    rows = {path: names for path, names in PATHS.items() if isinstance(names, Mapping) and _is_told(path, names)}
    return {"py.typed": "partial\n", **{_file_of(path): _stub_of(names) for path, names in rows.items()}}


def write(folder: Path) -> None:
    """Make a folder the stub package. What it holds besides is deleted."""
    files = stub_files()
    for old in folder.rglob("*"):
        if old.is_file() and str(old.relative_to(folder)) not in files:
            old.unlink()
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _is_told(path: str, names: Names) -> bool:
    place = _OURS.joinpath(*path.split(".")[1:])
    if place.with_suffix(".py").is_file() or not any(isinstance(home, Home) for home in names.values()):
        return False
    init = place / "__init__.py"
    return not init.is_file() or _is_bare(init)


def _is_bare(module: Path) -> bool:
    """Tell whether a module defines nothing, so that a stub in its place hides nothing."""
    return all(
        isinstance(each, ast.Expr) or (isinstance(each, ast.ImportFrom) and each.module == "__future__")
        for each in ast.parse(module.read_text(encoding="utf-8")).body
    )


def _file_of(path: str) -> str:
    # All are packages, as they are for Python. For pyright the folder is then the source of the stub; of one in a
    # single file it would say that it cannot find the source.
    return "/".join([*path.split(".")[1:], "__init__.pyi"])


def _stub_of(names: Names) -> str:
    homes = {name: home for name, home in names.items() if isinstance(home, Home)}
    imports = sorted(f"from {home.module} import {home.attribute} as {name}\n" for name, home in homes.items())
    # Only a name that keeps its name is exported by being imported.
    exported = "".join(f'    "{name}",\n' for name in sorted(homes))
    return f"{_HEADER}{''.join(imports)}\n__all__ = [{exported and chr(10)}{exported}]\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
