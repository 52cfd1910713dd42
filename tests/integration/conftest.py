from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.integration.project import project, pytest_generate_tests

__all__ = ["hangups_count", "project", "pytest_generate_tests"]


@pytest.fixture
def hangups_count() -> Iterator[None]:
    """Have processes started here hear SIGHUP, also when all of this runs under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
