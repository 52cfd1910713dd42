"""Keep the stores bounded: expired results, old dead letters, what others have left lying, the files themselves.

Producers do a small share of it now and then (`brokers/sqlite/broker.py`), so nothing grows without end where no
worker runs; a node does all of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from celeriac.exceptions import OperationalError
from celeriac.worker.background import Background

logger: Final = logging.getLogger("celeriac.worker")

FIRST_AFTER: Final = 1.0
"""Seconds after the start of a node until the first round: what others have left lying must not wait for longer."""

EVERY: Final = 30.0
"""Seconds between two rounds."""

_PAUSE: Final = 0.02


class Upkeep:
    """Call each cleaner until it finds nothing more, in a thread, with pauses for those who work.

    Args:
        cleaners: delete a bounded share and say how much that was.
    """

    def __init__(self, cleaners: Sequence[Callable[[], int]]) -> None:
        self._cleaners = cleaners
        self._loop = Background(self._run, "upkeep")

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def _run(self) -> None:
        pause = FIRST_AFTER
        while True:
            # Many nodes, one store: not all at the same time.
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = EVERY
            for clean in self._cleaners:
                try:
                    while await asyncio.to_thread(clean):
                        await asyncio.sleep(_PAUSE)
                except OperationalError as exc:
                    logger.warning("upkeep will be tried again in %.0f s: %s", EVERY, exc)
                except Exception:
                    logger.exception("upkeep failed; it will be tried again in %.0f s", EVERY)
