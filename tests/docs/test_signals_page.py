"""The table of signals in the documentation is that of the source."""

from __future__ import annotations

import re
from pathlib import Path

from celeriac.app import signals
from celeriac.app.signals import Signal

PAGE = Path(__file__).parents[2] / "docs" / "signals.md"


def test_the_page_lists_every_signal_with_what_it_provides():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = {name: frozenset(re.findall(r"`(\w+)`", provided)) for name, provided in rows}

    there = {name: value.providing_args for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert {name: listed[name] for name in listed if name in there} == there
