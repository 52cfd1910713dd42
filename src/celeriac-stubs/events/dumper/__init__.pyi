# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.dumper import Dumper as Dumper
from celeriac.app.events.dumper import evdump as evdump

__all__ = [
    "Dumper",
    "evdump",
]
