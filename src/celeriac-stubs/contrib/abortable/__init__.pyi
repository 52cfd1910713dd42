# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.abortable import ABORTED as ABORTED
from celeriac.app.abortable import AbortableAsyncResult as AbortableAsyncResult
from celeriac.app.abortable import AbortableTask as AbortableTask

__all__ = [
    "ABORTED",
    "AbortableAsyncResult",
    "AbortableTask",
]
