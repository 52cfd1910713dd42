"""Find the source files that the demo reads."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NOT_ITS_OWN: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})


@dataclass(frozen=True, slots=True)
class Module:
    """Name a source file as an import would."""

    name: str
    path: Path


def standard_library() -> list[Module]:
    """Find every module of the running Python's standard library that has a source file, test suites included."""
    names = sys.stdlib_module_names | {"test"}  # the list leaves out Python's own tests
    modules = below(Path(sysconfig.get_path("stdlib")))
    return [module for module in modules if module.name.partition(".")[0] in names]


def below(folder: Path) -> list[Module]:
    """Find every source file below a folder, without what was installed into it."""
    return [Module(module_name(path.relative_to(folder)), path) for path in sorted(source_files(folder))]


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below a folder."""
    for path in folder.rglob("*.py"):
        if NOT_ITS_OWN.isdisjoint(path.relative_to(folder).parts):
            yield path


def module_name(path: Path) -> str:
    """Return the dotted name of a file, given its path from the folder that imports start in."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def sample(modules: list[Module], limit: int | None) -> list[Module]:
    """Pick at most so many modules, spread over all of them."""
    if limit is None or limit >= len(modules):
        return modules
    return [modules[number * len(modules) // limit] for number in range(limit)]
