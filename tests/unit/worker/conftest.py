from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.worker.crew import PATIENCE, Children, close


@pytest.fixture
def hasty(children: Children, monkeypatch) -> None:
    """Have what is not read at once taken back."""
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", 0.01)


@pytest.fixture
async def children(monkeypatch) -> AsyncIterator[Children]:
    # A test reads when it comes to it, however busy the machine is.
    monkeypatch.setattr("celeriac.worker.children.LATE_AFTER", PATIENCE)
    made = Children()
    yield made
    close(made)
