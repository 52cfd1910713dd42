"""Commands that installed packages bring along: modules that register some when they are imported."""

from __future__ import annotations

import logging
from typing import Final

logger: Final = logging.getLogger("celeriac.control")

GROUP: Final = "celeriac.control_commands"
"""Group of entry points, each of which names such a module, or a function that registers commands."""


def load_plugins() -> None:
    """Load what packages bring along. One that cannot be loaded is logged and left out."""
    # Only here: 15 ms of the start of every node, of which few are ever asked for such a command.
    from importlib.metadata import entry_points

    for one in entry_points(group=GROUP):
        try:
            found = one.load()
            if callable(found):
                found()
        except Exception:
            logger.exception("the control commands of %s = %s cannot be loaded", one.name, one.value)
