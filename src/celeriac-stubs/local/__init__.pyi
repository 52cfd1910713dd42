# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.current import Proxy as Proxy
from celeriac.compat.functional import maybe_evaluate as maybe_evaluate

__all__ = [
    "Proxy",
    "maybe_evaluate",
]
