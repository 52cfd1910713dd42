# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.platforms import EX_FAILURE as EX_FAILURE
from celeriac.compat.platforms import EX_OK as EX_OK
from celeriac.compat.platforms import EX_UNAVAILABLE as EX_UNAVAILABLE
from celeriac.compat.platforms import EX_USAGE as EX_USAGE
from celeriac.compat.platforms import IS_WINDOWS as IS_WINDOWS
from celeriac.compat.platforms import IS_macOS as IS_macOS
from celeriac.compat.platforms import SIGMAP as SIGMAP
from celeriac.compat.platforms import SYSTEM as SYSTEM
from celeriac.compat.platforms import get_errno_name as get_errno_name
from celeriac.compat.platforms import ignore_errno as ignore_errno
from celeriac.compat.platforms import isatty as isatty
from celeriac.compat.platforms import pyimplementation as pyimplementation
from celeriac.compat.platforms import set_process_title as set_process_title
from celeriac.compat.platforms import signal_name as signal_name

__all__ = [
    "EX_FAILURE",
    "EX_OK",
    "EX_UNAVAILABLE",
    "EX_USAGE",
    "IS_WINDOWS",
    "IS_macOS",
    "SIGMAP",
    "SYSTEM",
    "get_errno_name",
    "ignore_errno",
    "isatty",
    "pyimplementation",
    "set_process_title",
    "signal_name",
]
