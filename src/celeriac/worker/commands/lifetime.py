"""The command that ends a node."""

from __future__ import annotations

import logging
from typing import Any, Final

from celeriac.worker.commands.panel import built_in, ok
from celeriac.worker.commands.state import State

logger: Final = logging.getLogger("celeriac.worker")

_SHOWN_MAX: Final = 200


@built_in("control")
def shutdown(state: State, msg: str = "Got shutdown from remote", **more: Any) -> dict[str, str]:
    """Stop this node, after what runs has ended."""
    logger.warning("%s", str(msg)[:_SHOWN_MAX])
    state.afterwards = state.node.lifetime.stop
    return ok("shutting down")
