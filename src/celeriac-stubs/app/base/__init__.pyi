# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.application import Celery as Celery
from celeriac.app.config import Settings as PendingConfiguration

__all__ = [
    "Celery",
    "PendingConfiguration",
]
