# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.eager_result import EagerResult as EagerResult
from celeriac.app.result import AsyncResult as AsyncResult

__all__ = [
    "AsyncResult",
    "EagerResult",
]
