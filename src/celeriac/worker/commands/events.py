"""Commands about events: whether they are sent, and a heartbeat at once."""

from __future__ import annotations

from typing import Any

from celeriac.worker.commands.panel import built_in, not_ok, ok
from celeriac.worker.commands.state import State

NO_EVENTS = "event dispatcher unavailable"


@built_in("control")
def enable_events(state: State) -> dict[str, str]:
    """Send events of tasks."""
    if state.node.events is None:
        return not_ok(NO_EVENTS)
    return ok("task events enabled" if state.node.events.enable_tasks() else "task events already enabled")


@built_in("control")
def disable_events(state: State) -> dict[str, str]:
    """Send no more events of tasks."""
    if state.node.events is None:
        return not_ok(NO_EVENTS)
    return ok("task events disabled" if state.node.events.disable_tasks() else "task events already disabled")


@built_in("control")
def heartbeat(state: State) -> None:
    """Send a heartbeat at once."""
    if state.node.events is not None:
        state.node.events.beat()


@built_in("control")
def election(state: State, id: str, topic: str, action: Any = None, **more: Any) -> dict[str, str]:
    """Say that no elections are held here."""
    return not_ok(
        f"no election is held for {topic!r:.100}: nodes of celeriac do not elect leaders. Give the work to one node "
        "by a queue of its own, or make the task unique (unique_for)."
    )
