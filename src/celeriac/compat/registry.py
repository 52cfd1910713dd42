"""What Celery has in `celery.registry`: the tasks of the current app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from celeriac.app.current import current_app
from celeriac.app.registry import Registry as TaskRegistry

__all__ = ["TaskRegistry", "tasks"]


class _TasksOfCurrentApp(Mapping[str, Any]):
    """Look every task up in the app that is the current one then."""

    def __getitem__(self, name: str) -> Any:
        return current_app().tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(current_app().tasks)

    def __len__(self) -> int:
        return len(current_app().tasks)

    def __getattr__(self, name: str) -> Any:
        return getattr(current_app().tasks, name)


tasks: Final = _TasksOfCurrentApp()
