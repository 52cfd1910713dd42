# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.serialization import b64decode as b64decode
from celeriac.compat.serialization import b64encode as b64encode
from celeriac.compat.serialization import strtobool as strtobool

__all__ = [
    "b64decode",
    "b64encode",
    "strtobool",
]
