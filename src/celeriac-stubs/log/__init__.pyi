# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.log import get_task_logger as get_task_logger

__all__ = [
    "get_task_logger",
]
