"""The plugin that pytest finds by itself where celeriac is installed (entry point ``pytest11``).

It imports nothing of celeriac but what any `import celeriac` does. The fixtures have the names of Celery's. Where
Celery's own are there already, these keep out of the way; `pytest_plugins = ["celeriac.contrib.pytest"]` in a
`conftest.py` asks for them in any case.
"""

from __future__ import annotations

import sys
from typing import Final

import pytest

from celeriac.compat import finder
from celeriac.testing import fixtures

CELERYS_OWN: Final = frozenset(("celery.contrib.pytest", "pytest_celery"))
"""Modules with fixtures of the same names."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Keep Celery's paths, and `import celery` meaning celeriac where it does: pytest has put its finder in front."""
    finder.stand_in_front()
    as_celery = sys.modules.get("celeriac.compat.as_celery")
    if as_celery is not None and as_celery.is_installed():
        as_celery.stand_in_front()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Add the fixtures, unless Celery's are there."""
    plugins = config.pluginmanager.get_plugins()
    if not any(getattr(plugin, "__name__", None) in CELERYS_OWN for plugin in plugins):
        config.pluginmanager.register(fixtures, "celeriac.testing.fixtures")
