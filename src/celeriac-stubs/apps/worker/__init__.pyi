# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.worker.instance import Worker as Worker

__all__ = [
    "Worker",
]
