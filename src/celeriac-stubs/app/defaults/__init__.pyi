# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.config import SETTINGS as NAMESPACES

__all__ = [
    "NAMESPACES",
]
