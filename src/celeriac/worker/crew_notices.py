"""Hear what the crew tells of children, and pass it on to the slots."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from celeriac.worker.forkserver import Died, Imported, Notice, Started
from celeriac.worker.slots import Slots
from celeriac.worker.start import Crew

logger: Final = logging.getLogger("celeriac.worker")

_IMPORT_WITHIN: Final = 30.0
"""Seconds more that a child has to be ready, when it must import the app itself."""


class CrewNotices:
    """Listen to the crew of a node, in its event loop, until that has gone.

    Args:
        fresh: children are started as fresh interpreters anyway.
        on_gone: called when the crew has gone.
    """

    def __init__(self, crew: Crew, slots: Slots, *, fresh: bool, on_gone: Callable[[], None]) -> None:
        self._crew = crew
        self._slots = slots
        self._fresh = fresh
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._crew.fileno(), self._hear)

    def _hear(self) -> None:
        notices = self._crew.notices()
        if notices is None:
            self._loop.remove_reader(self._crew.fileno())
            self._on_gone()
            return
        for notice in notices:
            try:
                self._note(notice)
            except Exception:
                logger.exception("a notice of the forkserver could not be seen to; the others are")

    def _note(self, notice: Notice) -> None:
        match notice:
            case Imported(threads=threads):
                if (threads or self._fresh) and self._slots.lives.alive_within is not None:
                    self._slots.lives.alive_within += _IMPORT_WITHIN
                if threads and not self._fresh:
                    logger.warning(
                        "importing the app started threads (%s); children are started as fresh interpreters, "
                        "which is slower: start threads in the task that needs them",
                        ", ".join(threads),
                    )
            case Started():
                self._slots.lives.note_started(notice)
            case Died():
                self._slots.note_died(notice)
