"""Keep the stores bounded: expired results, old dead letters, the files themselves.

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

logger: Final = logging.getLogger("celeriac.worker")

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
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="upkeep")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            # Many nodes, one store: not all at the same time.
            await asyncio.sleep(EVERY * random.uniform(0.8, 1.2))
            for clean in self._cleaners:
                try:
                    while await asyncio.to_thread(clean):
                        await asyncio.sleep(_PAUSE)
                except OperationalError as exc:
                    logger.warning("upkeep will be tried again in %.0f s: %s", EVERY, exc)
                except Exception:
                    logger.exception("upkeep failed; it will be tried again in %.0f s", EVERY)
