"""Tell Redis by itself of runs that last, where no call of the node comes in time (`notes.py`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from celeriac.brokers.redis.notes import TELL_WITHIN, Notes
from celeriac.brokers.redis.ownership import Ownership
from celeriac.exceptions import CeleriacError


class Telling:
    """Tell in one event loop what the notes of one owner say.

    Attributes:
        timer: what tells next; None while nothing is planned.
    """

    def __init__(self, own: Ownership, notes: Notes) -> None:
        self.timer: asyncio.TimerHandle | None = None
        self._own = own
        self._notes = notes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._teller: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Tell in the event loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Tell nothing that is planned. May be called twice, or before `begin`."""
        if self.timer is not None:
            self.timer.cancel()
        if self._teller is not None:
            self._teller.cancel()
        self.timer = self._teller = None

    def soon(self, after: float) -> None:
        """Look after so many seconds whether there is something to tell; from another thread at once."""
        loop = self._loop
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            if self.timer is not None:
                self.timer.cancel()
            self.timer = loop.call_later(after, self._tell)
        else:
            with suppress(RuntimeError):  # what a closed loop raises
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self.timer = None
        if self._notes.are_due and (self._teller is None or self._teller.done()):
            self._teller = asyncio.ensure_future(self.now())
        if self._notes:
            self.soon(TELL_WITHIN)

    async def now(self) -> None:
        """Tell what is due; without an answer the next call of the node tells it."""
        own = self._own
        with suppress(CeleriacError):  # the next call tells
            await own.ask("note", [own.held, own.started], noting=True)
