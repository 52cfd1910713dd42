# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.testing.tasks import ping as ping

__all__ = [
    "ping",
]
