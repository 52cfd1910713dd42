# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.dispatcher import EventDispatcher as EventDispatcher

__all__ = [
    "EventDispatcher",
]
