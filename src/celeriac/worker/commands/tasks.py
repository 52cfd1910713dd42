"""Commands about tasks: what runs, what waits, what is registered."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from celeriac.worker.commands.panel import built_in
from celeriac.worker.commands.state import State

_SCHEDULED_MAX: Final = 500
"""Tasks that are told at once of those that wait for their time."""

_PRIORITY: Final = 6
"""What Celery's workers say of such tasks."""

_SHOWN_OF_TASKS: Final = ("exchange", "routing_key", "rate_limit")

Info = dict[str, Any]


@built_in("inspect", alias="dump_active")
def active(state: State, safe: bool | None = False, **more: Any) -> list[Info]:
    """List the tasks that are running."""
    return [state.node.view.info(seen, safe=bool(safe)) for seen in state.node.view.running()]


@built_in("inspect", alias="dump_reserved")
def reserved(state: State, **more: Any) -> list[Info]:
    """List the tasks that this node has claimed and not begun."""
    return [state.node.view.info(seen) for seen in state.node.view.waiting()]


@built_in("inspect", alias="dump_schedule")
async def scheduled(state: State, **more: Any) -> list[Info]:
    """List the tasks that wait for their time in the queues of this node, the next ones first."""
    waiting = await asyncio.to_thread(state.app.broker.delayed, state.node.consuming.names, limit=_SCHEDULED_MAX)
    return [
        {
            "eta": datetime.fromtimestamp(message.eta_at or 0.0, UTC).isoformat(),
            "priority": _PRIORITY,
            "request": state.node.view.info_of(message),
        }
        for message in waiting
    ]


@built_in("inspect", variadic="ids", signature="[id1 [id2 [... [idN]]]]")
def query_task(state: State, ids: Any, **more: Any) -> dict[str, tuple[str, Info]]:
    """Show what this node does with the tasks of some ids."""
    wanted = {ids} if isinstance(ids, str) else set(ids)
    view = state.node.view
    found = {seen.id: ("reserved", view.info(seen)) for seen in view.waiting() if seen.id in wanted}
    found |= {seen.id: ("active", view.info(seen)) for seen in view.running() if seen.id in wanted}
    return found


@built_in(
    "inspect",
    alias="dump_tasks",
    variadic="taskinfoitems",
    signature="[attr1 [attr2 [... [attrN]]]]",
)
def registered(state: State, taskinfoitems: Any = None, builtins: bool = False, **more: Any) -> list[str]:
    """List the tasks that are registered, with some of their options."""
    named = taskinfoitems or _SHOWN_OF_TASKS
    shown = [item for item in named if isinstance(item, str) and not item.startswith("_")]
    names = sorted(name for name in state.app.tasks if builtins or not name.startswith("celery."))
    return [_told(state.app.tasks[name], shown) for name in names]


def _told(task: Any, shown: list[str]) -> str:
    values = {name: getattr(task, name, None) for name in shown}
    said = " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
    return f"{task.name} [{said}]" if said else str(task.name)
