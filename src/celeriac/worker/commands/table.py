"""All commands of a node: importing this fills the `Panel` with the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping

from celeriac.worker.commands import about, events, lifetime, limits, memory, pool, queues, revoking, tasks
from celeriac.worker.commands.panel import CommandInfo, Handler, Kind, Panel

BUILT_IN = (about, events, lifetime, limits, memory, pool, queues, revoking, tasks)
"""Where they are."""


def commands_of(kind: Kind) -> Mapping[str, CommandInfo]:
    """Return the commands of a kind that are listed, in the order of their names."""
    return {name: info for name, info in sorted(Panel.meta.items()) if info.type == kind and info.visible}


def command_named(name: str) -> Handler | None:
    """Return what does a command, by its name or another one that it has; None when nobody does."""
    return Panel.data.get(name)
