"""Give back what was claimed and cannot begin here in time: others may be free."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from celeriac.clock import until_tick
from celeriac.worker.background import Background
from celeriac.worker.endings import Endings
from celeriac.worker.intake import START_WITHIN
from celeriac.worker.slots import Slots

_LOOK_EVERY: Final = 0.5


class GivingBack:
    """Look now and then for messages that have waited for a body for `START_WITHIN` seconds."""

    def __init__(self, slots: Slots, endings: Endings) -> None:
        self._slots = slots
        self._endings = endings
        self._loop = Background(self._run, "give-back")

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _run(self) -> None:
        while True:
            # While a body is free nothing waits; what comes right after a look is young enough until the next but one.
            await asyncio.sleep(until_tick(2 * _LOOK_EVERY if self._slots.idle else _LOOK_EVERY))
            if not self._slots.idle:
                stale = self._slots.withdraw(claimed_before=time.monotonic() - START_WITHIN)
                self._endings.hand_back([held for held in stale if not held.acked])
                self._slots.add(held for held in stale if held.acked)
