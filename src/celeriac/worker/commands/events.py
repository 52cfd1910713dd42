"""Commands about events: whether they are sent, and what is told at once."""

from __future__ import annotations

from typing import Any

from celeriac.exceptions import DecodeError
from celeriac.wire.jsontypes import loads
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


def _action(text: str) -> Any:
    """Read JSON; what is none is the text itself."""
    try:
        return loads(text.encode())
    except DecodeError:
        return text


@built_in(
    "control",
    args=[("id", str), ("topic", str), ("action", _action)],
    signature="<id> <topic> [action]",
)
def election(state: State, id: str, topic: str, action: Any = None, **more: Any) -> None:
    """Elect one node, which does something."""
    if state.node.elections is not None:
        state.node.elections.stand(str(id), str(topic), action)
