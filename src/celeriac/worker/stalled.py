"""Children that hang between two runs: nothing runs there, and nothing is read either."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from celeriac.clock import until_tick
from celeriac.worker.children import Child
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")

_LOOK_EVERY: Final = 1.0

_STALLED_AFTER: Final = 5
"""Looks, that is seconds, after which a child that has not read what it is to do next is given up. Not measured by a
clock: a node that was stopped itself must not blame its children for it."""


class StalledWatch:
    """Kill the children that run nothing and do not read either: what they were sent would wait for ever.

    A task may have left its process like that: stopped, or with a lock held that its next run needs.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._lives = slots.lives
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(until_tick(_LOOK_EVERY), self._look)

    def stop(self) -> None:
        """Look no more. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        for child in list(self._lives.children.values()):
            if self._is_stalled(child):
                logger.error(
                    "child %s runs nothing, and has not read its next message for %d s; killing it, others run that",
                    child.pid,
                    _STALLED_AFTER,
                )
                child.is_stalled = True
                self._lives.choose_among()
                self._lives.kill(child)
        self._slots.dispatch()
        self.start()

    def _is_stalled(self, child: Child) -> bool:
        """Say whether a child runs nothing, though it has had something to do or to say for too long."""
        if child.is_stalled or not child.is_stuck(_STALLED_AFTER):
            return False
        self._slots.read_all(child)
        if next(iter(child.sent), 0) != child.head or not (child.sent or child.is_deaf):
            return False  # it was this loop that had not heard of it
        self._slots.take_back(child)  # of a child whose runs take long this finds nothing
        return not child.sent
