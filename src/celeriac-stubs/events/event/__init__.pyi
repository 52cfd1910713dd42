# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.dispatcher import Event as Event
from celeriac.wire.events import group_of as group_from

__all__ = [
    "Event",
    "group_from",
]
