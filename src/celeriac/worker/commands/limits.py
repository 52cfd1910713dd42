"""Commands that change the limits of tasks, in this node, until it ends."""

from __future__ import annotations

import logging
from typing import Any, Final

from celeriac.app.kinds import RATE, SECONDS, or_none, read
from celeriac.app.timing import interval_of
from celeriac.worker.commands.panel import built_in, not_ok, ok
from celeriac.worker.commands.state import State

logger: Final = logging.getLogger("celeriac.worker")

_UNKNOWN: Final = "unknown task"


@built_in(
    "control",
    args=[("task_name", str), ("rate_limit", str)],
    signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",
)
def rate_limit(state: State, task_name: str, rate_limit: Any, **more: Any) -> dict[str, str]:
    """Change how often a task may start here; 0 for no limit."""
    try:
        interval_of(rate_limit)
        read(or_none(RATE), "rate_limit", rate_limit, error=ValueError)
    except (ValueError, KeyError, TypeError) as exc:
        return not_ok(f"Invalid rate limit string: {exc!r}")
    if task_name not in state.app.tasks:
        return not_ok(_UNKNOWN)
    state.app.tasks[task_name].rate_limit = rate_limit
    state.node.limits.reread_rates(task_name)
    if interval_of(rate_limit) is None:
        logger.info("Rate limits disabled for tasks of type %s", task_name)
        return ok("rate limit disabled successfully")
    logger.info("New rate limit for tasks of type %s: %s.", task_name, rate_limit)
    return ok("new rate limit set successfully")


@built_in(
    "control",
    args=[("task_name", str), ("soft", float), ("hard", float)],
    signature="<task_name> <soft_secs> [hard_secs]",
)
def time_limit(state: State, task_name: Any = None, hard: Any = None, soft: Any = None, **more: Any) -> dict[str, str]:
    """Change how long a task may run here, in seconds."""
    if task_name not in state.app.tasks:
        return not_ok(_UNKNOWN)
    limit = or_none(SECONDS)
    hard = read(limit, "hard", hard, error=ValueError)
    soft = read(limit, "soft", soft, error=ValueError)
    task = state.app.tasks[task_name]
    task.soft_time_limit, task.time_limit = soft, hard
    state.node.limits.reread_times(task_name)
    logger.info("New time limits for tasks of type %s: soft=%s hard=%s", task_name, soft, hard)
    return ok("time limits set successfully")
