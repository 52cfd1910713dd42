from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.project import project, pytest_generate_tests

__all__ = ["project", "pytest_generate_tests"]

_told = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a line about what a test has counted, and show it at the end, also when everything passed."""
    lines = request.config.stash.setdefault(_told, [])
    return lambda text: lines.append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    lines = config.stash.get(_told, [])
    if lines:
        terminalreporter.section("what the faults came to")
    for line in lines:
        terminalreporter.write_line(line)
