"""Become an owner again after this node was declared dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from celeriac.brokers.base import Consumer
from celeriac.exceptions import LeaseLost, OperationalError
from celeriac.worker.held import Holdings
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")

_AGAIN_AFTER: Final = 0.5


class Registration:
    """Register a node anew, once at a time, whoever finds out that it has to be.

    Args:
        on_away: called when the broker could not be reached for that; it is tried again.
    """

    def __init__(self, consumer: Consumer, holdings: Holdings, slots: Slots, *, on_away: Callable[[], None]) -> None:
        self._consumer = consumer
        self._holdings = holdings
        self._slots = slots
        self._on_away = on_away
        self._opening = asyncio.Lock()

    async def renew(self) -> None:
        """Become a new owner. What runs goes on, to be refused; what has not begun belongs to others now."""
        async with self._opening:
            if await self._is_owner():
                return
            for held in self._slots.withdraw():
                if held.acked:
                    self._slots.add([held])
                else:
                    self._holdings.remove(held)
            while True:
                try:
                    await self._consumer.open()
                except OperationalError as exc:
                    logger.warning("cannot register again, trying again in %.1f s: %s", _AGAIN_AFTER, exc)
                    self._on_away()
                    await asyncio.sleep(_AGAIN_AFTER)
                else:
                    return

    async def _is_owner(self) -> bool:
        try:
            await self._consumer.extend()
        except LeaseLost:
            return False
        return True
