# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.signals import Signal as Signal
from celeriac.app.signals import after_setup_logger as after_setup_logger
from celeriac.app.signals import after_setup_task_logger as after_setup_task_logger
from celeriac.app.signals import after_task_publish as after_task_publish
from celeriac.app.signals import beat_embedded_init as beat_embedded_init
from celeriac.app.signals import beat_init as beat_init
from celeriac.app.signals import before_task_publish as before_task_publish
from celeriac.app.signals import celeryd_after_setup as celeryd_after_setup
from celeriac.app.signals import celeryd_init as celeryd_init
from celeriac.app.signals import eventlet_pool_apply as eventlet_pool_apply
from celeriac.app.signals import eventlet_pool_postshutdown as eventlet_pool_postshutdown
from celeriac.app.signals import eventlet_pool_preshutdown as eventlet_pool_preshutdown
from celeriac.app.signals import eventlet_pool_started as eventlet_pool_started
from celeriac.app.signals import heartbeat_sent as heartbeat_sent
from celeriac.app.signals import import_modules as import_modules
from celeriac.app.signals import setup_logging as setup_logging
from celeriac.app.signals import task_failure as task_failure
from celeriac.app.signals import task_internal_error as task_internal_error
from celeriac.app.signals import task_postrun as task_postrun
from celeriac.app.signals import task_prerun as task_prerun
from celeriac.app.signals import task_received as task_received
from celeriac.app.signals import task_rejected as task_rejected
from celeriac.app.signals import task_retry as task_retry
from celeriac.app.signals import task_revoked as task_revoked
from celeriac.app.signals import task_sent as task_sent
from celeriac.app.signals import task_success as task_success
from celeriac.app.signals import task_unknown as task_unknown
from celeriac.app.signals import user_preload_options as user_preload_options
from celeriac.app.signals import worker_before_create_process as worker_before_create_process
from celeriac.app.signals import worker_init as worker_init
from celeriac.app.signals import worker_process_init as worker_process_init
from celeriac.app.signals import worker_process_shutdown as worker_process_shutdown
from celeriac.app.signals import worker_ready as worker_ready
from celeriac.app.signals import worker_shutdown as worker_shutdown
from celeriac.app.signals import worker_shutting_down as worker_shutting_down

__all__ = [
    "Signal",
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "eventlet_pool_apply",
    "eventlet_pool_postshutdown",
    "eventlet_pool_preshutdown",
    "eventlet_pool_started",
    "heartbeat_sent",
    "import_modules",
    "setup_logging",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_sent",
    "task_success",
    "task_unknown",
    "user_preload_options",
    "worker_before_create_process",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]
