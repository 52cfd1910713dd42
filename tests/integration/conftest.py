from __future__ import annotations

from tests.integration.project import project

__all__ = ["project"]
