# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.testing.fixtures import celery_app as celery_app
from celeriac.testing.fixtures import celery_class_tasks as celery_class_tasks
from celeriac.testing.fixtures import celery_config as celery_config
from celeriac.testing.fixtures import celery_enable_logging as celery_enable_logging
from celeriac.testing.fixtures import celery_includes as celery_includes
from celeriac.testing.fixtures import celery_parameters as celery_parameters
from celeriac.testing.fixtures import celery_session_app as celery_session_app
from celeriac.testing.fixtures import celery_session_worker as celery_session_worker
from celeriac.testing.fixtures import celery_worker as celery_worker
from celeriac.testing.fixtures import celery_worker_parameters as celery_worker_parameters
from celeriac.testing.fixtures import celery_worker_pool as celery_worker_pool
from celeriac.testing.fixtures import depends_on_current_app as depends_on_current_app
from celeriac.testing.fixtures import pytest_configure as pytest_configure
from celeriac.testing.fixtures import use_celery_app_trap as use_celery_app_trap

__all__ = [
    "celery_app",
    "celery_class_tasks",
    "celery_config",
    "celery_enable_logging",
    "celery_includes",
    "celery_parameters",
    "celery_session_app",
    "celery_session_worker",
    "celery_worker",
    "celery_worker_parameters",
    "celery_worker_pool",
    "depends_on_current_app",
    "pytest_configure",
    "use_celery_app_trap",
]
