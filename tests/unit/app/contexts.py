"""Make contexts of runs, as workers have them."""

from __future__ import annotations

from typing import Any

from celeriac import Task
from celeriac.app.context import Context


def run_of(task: Task[..., Any], **more: Any) -> Context:
    """Return the context of a run that a worker started."""
    return Context(id="parent-1", root_id="root-1", task=task.name, current=task, called_directly=False, **more)
