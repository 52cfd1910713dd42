# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from os import getloadavg as load_average

__all__ = [
    "load_average",
]
