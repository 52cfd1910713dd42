"""The loggers: celeriac's own, that of tasks, and those of modules of tasks."""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = logging.getLogger("celeriac")
TASK_LOGGER: Final = logging.getLogger("celeriac.task")


def get_task_logger(name: str) -> logging.Logger:
    """Return the logger of a module of tasks: ``logger = get_task_logger(__name__)``.

    It keeps its name and stands below `celeriac.task`, as in Celery, so that its lines know the task that they come
    from, go where the worker's do, and have its level.

    Raises:
        RuntimeError: the name is one of celeriac's own loggers, or the root's.
    """
    logger = logging.getLogger(name)
    if logger in (logging.root, LOGGER, TASK_LOGGER):
        raise RuntimeError(f"logger name {name!r} is reserved: give get_task_logger the name of the module, __name__")
    # A logger that is made after one further down takes that one's parent for its own. So those above are made first:
    # what else "shop" logs is not of tasks because "shop.tasks" is.
    parts = name.split(".")
    for length in range(1, len(parts)):
        logging.getLogger(".".join(parts[:length]))
    if not _is_below(logger, TASK_LOGGER):
        logger.parent = TASK_LOGGER
    return logger


def _is_below(logger: logging.Logger | None, other: logging.Logger) -> bool:
    while logger is not None and logger is not other:
        logger = logger.parent
    return logger is other
