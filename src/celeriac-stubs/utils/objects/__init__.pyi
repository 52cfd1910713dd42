# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from types import SimpleNamespace as Bunch

__all__ = [
    "Bunch",
]
