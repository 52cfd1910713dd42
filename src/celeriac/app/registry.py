"""The tasks of an app, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import DuplicateTaskNameWarning as DuplicateTaskNameWarning
from celeriac.exceptions import NotRegistered

if TYPE_CHECKING:
    from celeriac.app.task import Task


class Registry(Mapping[str, "Task[..., Any]"]):
    """Map names to tasks. Reading it while another thread registers is safe."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task[..., Any]] = {}

    def register(self, task: Task[..., Any]) -> Task[..., Any]:
        """Add a task and return the one that has its name now.

        The first to have a name keeps it, unless it is an earlier definition of the same function, as after a reload.
        """
        kept = self._tasks.setdefault(task.name, task)
        if kept.origin == task.origin:
            kept = self._tasks[task.name] = task
        return kept

    def unregister(self, name: str) -> None:
        """Forget a task, given by its name or as itself.

        Raises:
            NotRegistered: there is none of that name.
        """
        name = getattr(name, "name", name)
        if self._tasks.pop(name, None) is None:
            raise NotRegistered(name)

    def replace(self, task: Task[..., Any]) -> None:
        """Add a task, in the place of another one of its name."""
        self._tasks[task.name] = task

    def own(self) -> list[str]:
        """Return the names of the tasks that a program has made: those that every app has begin with ``celery.``."""
        return [name for name in self if not name.startswith("celery.")]

    def __getitem__(self, name: str) -> Task[..., Any]:
        try:
            return self._tasks[name]
        except KeyError:
            raise NotRegistered(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"<Registry: {len(self)} tasks>"
