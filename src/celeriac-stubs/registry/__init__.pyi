# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.registry import TaskRegistry as TaskRegistry
from celeriac.compat.registry import tasks as tasks

__all__ = [
    "TaskRegistry",
    "tasks",
]
