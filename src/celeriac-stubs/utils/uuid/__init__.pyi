# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.ids import new_id as uuid

__all__ = [
    "uuid",
]
