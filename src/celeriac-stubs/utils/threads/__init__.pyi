# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from threading import get_ident as get_ident
from threading import local as Local

__all__ = [
    "Local",
    "get_ident",
]
