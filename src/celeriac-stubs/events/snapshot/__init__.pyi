# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.events.snapshot import Polaroid as Polaroid
from celeriac.app.events.snapshot import evcam as evcam

__all__ = [
    "Polaroid",
    "evcam",
]
