"""The names of pools: ours, and those under which Celery knows them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

NAMES: Final = ("prefork", "threads", "asyncio", "solo")

CUSTOM_POOL: Final = "CELERY_CUSTOM_WORKER_POOL"
"""Environment variable that says which class `-P custom` means, as in Celery."""

_GREEN: Final = "comes with a later version of celeriac; -P asyncio runs hundreds of `async def` tasks at once"

_OF_CELERY: Final[Mapping[str, str]] = {
    "processes": "prefork",
    "celery.concurrency.prefork.TaskPool": "prefork",
    "celery.concurrency.processes.TaskPool": "prefork",
    "celery.concurrency.thread.TaskPool": "threads",
    "celery.concurrency.threads.TaskPool": "threads",
    "celery.concurrency.solo.TaskPool": "solo",
}
_LATER: Final[Mapping[str, str]] = {
    "eventlet": "eventlet",
    "gevent": "gevent",
    "celery.concurrency.eventlet.TaskPool": "eventlet",
    "celery.concurrency.gevent.TaskPool": "gevent",
}


def pool_named(text: str) -> str:
    """Return what a pool is called here: one of `NAMES`, or the path of a class, ``package.module:Class``.

    Raises:
        ValueError: there is no such pool; the text says which there are, or what to use instead.
    """
    if text == "custom":
        text = os.environ.get(CUSTOM_POOL, "")
        if not text:
            raise ValueError(f"'custom' is the class that {CUSTOM_POOL} names, and that is not set")
    path = text.replace(":", ".")
    if path.startswith("celeriac.concurrency."):
        path = path.replace("celeriac", "celery", 1)
    if path in _LATER:
        raise ValueError(f"the pool {_LATER[path]!r} {_GREEN}")
    if path.startswith("celery.concurrency.") and path not in _OF_CELERY:
        raise ValueError(
            f"{text!r} is a class of Celery's own, which this worker cannot run; choose one of {', '.join(NAMES)}, or "
            "write a pool of your own (celeriac.worker.pools.base:Pool)"
        )
    if path in NAMES or path in _OF_CELERY:
        return _OF_CELERY.get(path, path)
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(
            f"there is no pool {text!r}; there are {', '.join(NAMES)}, and classes of your own (package.module:Class)"
        )
    return f"{module}:{name}"
