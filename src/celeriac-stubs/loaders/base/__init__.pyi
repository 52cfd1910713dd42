# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.loaders import BaseLoader as BaseLoader

__all__ = [
    "BaseLoader",
]
