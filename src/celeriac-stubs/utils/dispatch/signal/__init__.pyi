# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.signals import Signal as Signal

__all__ = [
    "Signal",
]
