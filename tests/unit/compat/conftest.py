from __future__ import annotations

import pytest

from celeriac.app import shared


@pytest.fixture(autouse=True)
def no_further_shared_tasks(monkeypatch):
    """Keep tasks that a module shares when it is imported from the apps of other tests."""
    monkeypatch.setattr(shared, "_makers", list(shared._makers))
