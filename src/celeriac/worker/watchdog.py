"""Notice that nothing moves although it should.

Slots that idle while other nodes win every race, or while every message waits for its time, are healthy. What is not
is a node with idle slots whose claims are not answered at all: then the road to the broker is rebuilt from zero, and
when that does not help, the process ends so that its service manager starts another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from celeriac.clock import until_tick
from celeriac.exceptions import OperationalError
from celeriac.worker.background import Background

logger: Final = logging.getLogger("celeriac.worker")

STALLED_AFTER: Final = 5.0
"""Seconds without an answered claim, while slots idle, after which something is wrong."""

_LOOK_EVERY: Final = 1.0


class Watchdog:
    """Watch the intake.

    Args:
        is_idle: says whether a slot has nothing to do.
        completed_at: returns the monotonic instant of the last answered claim.
        rebuild: connects anew. What it raises ends the node, but an `OperationalError` does not: the broker is away,
            and claims go on to be tried.
        give_up: ends the node, with a reason.
    """

    def __init__(
        self,
        *,
        is_idle: Callable[[], bool],
        completed_at: Callable[[], float],
        rebuild: Callable[[], Awaitable[None]],
        give_up: Callable[[str], None],
    ) -> None:
        self._is_idle = is_idle
        self._completed_at = completed_at
        self._rebuild = rebuild
        self._give_up = give_up
        self._loop = Background(self._run, "watchdog")

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _run(self) -> None:
        rebuilt_at = 0.0
        while True:
            await asyncio.sleep(until_tick(_LOOK_EVERY))
            now = time.monotonic()
            if not self._is_idle() or now - self._completed_at() < STALLED_AFTER:
                continue
            if rebuilt_at and now - rebuilt_at < 3 * STALLED_AFTER:
                self._give_up(f"no claim was answered for {STALLED_AFTER:.0f} s, also after connecting anew")
                return
            logger.error("slots are idle and no claim was answered for %.0f s; connecting anew", STALLED_AFTER)
            rebuilt_at = now
            try:
                async with asyncio.timeout(STALLED_AFTER):
                    await self._rebuild()
            except OperationalError as exc:
                logger.warning("the broker is away: %s", exc)
            except Exception as exc:  # noqa: BLE001 - whatever it was, this node is of no use any more
                self._give_up(f"connecting anew failed: {exc!r}")
                return
