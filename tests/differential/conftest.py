"""Celery is installed while other tests run, for which the programs come last."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.sides import installing

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the programs come after all other tests."""
    items.sort(key=_is_ours)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to install Celery, if programs will run."""
    if any(map(_is_ours, session.items)) and not session.config.option.collectonly:
        installing()


def _is_ours(item: pytest.Item) -> bool:
    return _HERE in item.path.parents
