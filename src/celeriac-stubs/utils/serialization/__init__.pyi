# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.serialization import strtobool as strtobool

__all__ = [
    "strtobool",
]
