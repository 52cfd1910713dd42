# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.deprecated import Callable as Callable
from celeriac.compat.deprecated import Property as Property
from celeriac.compat.deprecated import warn as warn

__all__ = [
    "Callable",
    "Property",
    "warn",
]
