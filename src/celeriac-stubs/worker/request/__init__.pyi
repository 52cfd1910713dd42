# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.context import Context as Context
from celeriac.worker.message_signals import Request as Request

__all__ = [
    "Context",
    "Request",
]
