# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.application import Celery as Celery

__all__ = [
    "Celery",
]
