from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.project import project, pytest_generate_tests

__all__ = ["project", "pytest_generate_tests"]

_TOLD = "told"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Take a line about what a test has counted, and show it at the end, also when everything passed."""
    properties = request.node.user_properties  # go with the report, also out of another process
    return lambda text: properties.append((_TOLD, f"{request.node.name}: {text}"))


def pytest_terminal_summary(terminalreporter) -> None:
    ended = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    properties = [one for report in ended if report.when == "call" for one in report.user_properties]
    lines = [text for name, text in properties if name == _TOLD]
    if lines:
        terminalreporter.section("what the faults came to")
    for line in lines:
        terminalreporter.write_line(line)
