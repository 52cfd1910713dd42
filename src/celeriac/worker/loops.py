"""Which event loop to use."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where it is installed (``celeriac[fast]``), else None for asyncio's own loop.

    `CELERIAC_NO_UVLOOP=1` in the environment chooses asyncio's in any case.
    """
    if os.environ.get("CELERIAC_NO_UVLOOP"):
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
