# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.log import LOGGER as base_logger
from celeriac.app.log import TASK_LOGGER as task_logger
from celeriac.app.log import get_task_logger as get_task_logger
from celeriac.compat.logs import ColorFormatter as ColorFormatter
from celeriac.compat.logs import LOG_LEVELS as LOG_LEVELS
from celeriac.compat.logs import LoggingProxy as LoggingProxy
from celeriac.compat.logs import get_logger as get_logger
from celeriac.compat.logs import mlevel as mlevel

__all__ = [
    "ColorFormatter",
    "LOG_LEVELS",
    "LoggingProxy",
    "base_logger",
    "get_logger",
    "get_task_logger",
    "mlevel",
    "task_logger",
]
