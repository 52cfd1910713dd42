"""End a process although threads that its tasks have started do not."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Collection
from typing import Final

logger: Final = logging.getLogger("celeriac.worker")


def end_without(earlier: Collection[threading.Thread], code: int) -> None:
    """End this process if threads are left that Python would wait for; return when there are none.

    Handlers of `atexit` are run. A child of other pools ends without asking anybody, too.

    Args:
        earlier: threads that were there before any task ran: they belong to the program.
        code: what it ends with.
    """
    main = threading.main_thread()
    left = [one for one in threading.enumerate() if not one.daemon and one is not main and one not in earlier]
    if not left:
        return
    names = ", ".join(sorted(one.name for one in left))
    logger.warning("the worker ends without waiting for threads that tasks have left behind: %s", names)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
