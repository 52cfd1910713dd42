# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.events import Events as Events

__all__ = [
    "Events",
]
