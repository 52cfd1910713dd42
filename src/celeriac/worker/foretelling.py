"""Note in the store that a run is about to begin, before it does, where that cannot be noted later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from celeriac.worker.held import Held

logger: Final = logging.getLogger("celeriac.worker")


class Foretelling:
    """Foretell runs of messages that somebody had before, one at a time.

    Args:
        foretell: notes it; None where that is not needed.
        go_on: called when one was noted, and may begin.
    """

    def __init__(self, foretell: Callable[[Held], Awaitable[None]] | None, *, go_on: Callable[[], None]) -> None:
        self._foretell = foretell
        self._go_on = go_on
        self._noted: Held | None = None
        self._noting: asyncio.Task[None] | None = None

    def may_begin(self, held: Held) -> bool:
        """Say whether this may be sent to a child now; if not, see to it that it soon may."""
        if self._foretell is None or not held.delivery.redelivered or held is self._noted:
            return True
        if self._noting is None:
            self._noting = asyncio.get_running_loop().create_task(self._note(held, self._foretell), name="foretelling")
        return False

    def stop(self) -> None:
        """Note nothing more. May be called twice."""
        if self._noting is not None:
            self._noting.cancel()

    async def _note(self, held: Held, foretell: Callable[[Held], Awaitable[None]]) -> None:
        try:
            await foretell(held)
        except Exception:
            logger.exception(
                "it was not noted that %s[%s] is about to begin; it begins", held.intake.task, held.intake.id
            )
        self._noting = None
        self._noted = held
        self._go_on()
