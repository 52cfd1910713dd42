# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.application import Celery as Celery
from celeriac.app.current import app_or_default as app_or_default
from celeriac.app.current import current_app_proxy as default_app
from celeriac.app.reporting import bugreport as bugreport
from celeriac.app.shared import shared_task as shared_task

__all__ = [
    "Celery",
    "app_or_default",
    "bugreport",
    "default_app",
    "shared_task",
]
