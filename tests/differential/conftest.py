"""Celery is installed while other tests run, and others run beside the programs, which are run all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.sides import installing

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the programs come when Celery is there, and when there is still enough to do for other workers."""
    ours, others = [one for one in items if _is_ours(one)], [one for one in items if not _is_ours(one)]
    place = len(others) // 4  # of three workers the first one comes there, before the others want work of it
    while 0 < place < len(others) and others[place].path == others[place - 1].path:
        place += 1
    items[:] = [*others[:place], *ours, *others[place:]]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to install Celery, if programs will run."""
    if any(map(_is_ours, session.items)) and not session.config.option.collectonly:
        installing()


def _is_ours(item: pytest.Item) -> bool:
    return _HERE in item.path.parents
