"""Helpers for tests: an app and a broker in memory, a worker in a thread, a clock to move, what was published.

Conformance suites for adapters are in modules of their own: `brokers`, `backends`, `buses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "ManualClock",
    "Published",
    "TestApp",
    "assert_not_published",
    "assert_published",
    "in_memory",
    "published",
    "start_worker",
]

if TYPE_CHECKING:
    from celeriac.testing.app import TestApp, in_memory
    from celeriac.testing.clock import ManualClock
    from celeriac.testing.publishing import Published, assert_not_published, assert_published, published
    from celeriac.testing.worker import start_worker

# Looked up when they are used: pytest imports this package for the plugin, whether anybody needs it or not.
_HOMES = {
    "ManualClock": "clock",
    "Published": "publishing",
    "TestApp": "app",
    "assert_not_published": "publishing",
    "assert_published": "publishing",
    "in_memory": "app",
    "published": "publishing",
    "start_worker": "worker",
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
