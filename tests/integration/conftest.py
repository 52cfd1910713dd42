from __future__ import annotations

from tests.integration.project import project, pytest_generate_tests

__all__ = ["project", "pytest_generate_tests"]
