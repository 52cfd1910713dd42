# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.loaders import AppLoader as AppLoader

__all__ = [
    "AppLoader",
]
