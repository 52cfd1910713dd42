# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.config import Settings as Settings

__all__ = [
    "Settings",
]
