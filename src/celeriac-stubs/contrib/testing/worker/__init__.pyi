# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.testing.worker import start_worker as start_worker
from celeriac.testing.worker import test_worker_started as test_worker_started
from celeriac.testing.worker import test_worker_starting as test_worker_starting
from celeriac.testing.worker import test_worker_stopped as test_worker_stopped

__all__ = [
    "start_worker",
    "test_worker_started",
    "test_worker_starting",
    "test_worker_stopped",
]
