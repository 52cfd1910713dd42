# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.context import running_task as get_current_task
from celeriac.app.current import current_app as _get_current_app
from celeriac.app.current import current_app as get_current_app
from celeriac.app.current import current_app_proxy as current_app
from celeriac.app.current import current_task_proxy as current_task
from celeriac.app.current import set_current_app as _set_current_app
from celeriac.app.current import set_default_app as set_default_app
from celeriac.app.joining import task_join_will_block as task_join_will_block

__all__ = [
    "_get_current_app",
    "_set_current_app",
    "current_app",
    "current_task",
    "get_current_app",
    "get_current_task",
    "set_default_app",
    "task_join_will_block",
]
