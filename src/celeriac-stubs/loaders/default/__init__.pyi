# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.loaders import DEFAULT_CONFIG_MODULE as DEFAULT_CONFIG_MODULE
from celeriac.app.loaders import Loader as Loader

__all__ = [
    "DEFAULT_CONFIG_MODULE",
    "Loader",
]
