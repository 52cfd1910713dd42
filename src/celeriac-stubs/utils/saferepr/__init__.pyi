# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.serialization import saferepr as saferepr

__all__ = [
    "saferepr",
]
