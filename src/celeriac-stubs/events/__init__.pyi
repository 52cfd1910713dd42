# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.dispatcher import Event as Event
from celeriac.app.events.dispatcher import EventDispatcher as EventDispatcher
from celeriac.app.events.receiver import EventReceiver as EventReceiver
from celeriac.wire.events import group_of as group_from

__all__ = [
    "Event",
    "EventDispatcher",
    "EventReceiver",
    "group_from",
]
