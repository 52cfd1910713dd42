"""Names for a process and its threads, such as a reply queue is called by. The same shape as Celery's."""

from __future__ import annotations

import os
import socket
import threading
from uuid import NAMESPACE_OID, uuid3


def oid_of_process(owner: object) -> str:
    """Return an id of this process and `owner`, the same for all threads; another one after a fork."""
    return _oid(owner, 0)


def oid_of_thread(owner: object) -> str:
    """Return an id of this thread and `owner`."""
    return _oid(owner, threading.get_ident())


def _oid(owner: object, thread: int) -> str:
    return str(uuid3(NAMESPACE_OID, f"{socket.gethostname()}-{os.getpid()}-{thread}-{id(owner)}"))
