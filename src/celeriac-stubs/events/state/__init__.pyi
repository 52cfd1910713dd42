# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.seen import Task as Task
from celeriac.app.events.seen import Worker as Worker
from celeriac.app.events.seen import expires_at as heartbeat_expires
from celeriac.app.events.state import State as State

__all__ = [
    "State",
    "Task",
    "Worker",
    "heartbeat_expires",
]
