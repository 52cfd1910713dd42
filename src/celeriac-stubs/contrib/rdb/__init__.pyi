# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.remote_debugger import CELERY_RDB_HOST as CELERY_RDB_HOST
from celeriac.app.remote_debugger import DEFAULT_PORT as DEFAULT_PORT
from celeriac.app.remote_debugger import Rdb as Rdb
from celeriac.app.remote_debugger import debugger as debugger
from celeriac.app.remote_debugger import set_trace as set_trace

__all__ = [
    "CELERY_RDB_HOST",
    "DEFAULT_PORT",
    "Rdb",
    "debugger",
    "set_trace",
]
