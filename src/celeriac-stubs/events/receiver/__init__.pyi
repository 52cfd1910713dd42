# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.receiver import EventReceiver as EventReceiver

__all__ = [
    "EventReceiver",
]
