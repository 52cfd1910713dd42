# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.loaders import loader_class as get_loader_cls

__all__ = [
    "get_loader_cls",
]
