# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.config import Settings as Settings
from celeriac.app.reporting import bugreport as bugreport
from celeriac.masking import masked_url as sanitize_url

__all__ = [
    "Settings",
    "bugreport",
    "sanitize_url",
]
