"""The files that the map of the source names are there."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "celeriac"


def test_every_file_on_the_map_exists():
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Where later parts go")[0]
    named = set(re.findall(r"`((?:\w+/)+\w+\.py|\w+/(?:\w+/)*)`", text))

    assert len(named) > 40
    assert {name for name in named if not any((root / name).exists() for root in (PACKAGE, REPOSITORY))} == set()


def test_the_map_names_every_part():
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    parts = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert {part for part in parts if f"{part}/" not in text} == set()
