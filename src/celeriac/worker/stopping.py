"""What signals to stop come to. Pure: a signal in, the next stage of a stop out."""

from __future__ import annotations

from enum import Enum
from typing import Final

COLD_SIGNAL: Final = "SIGQUIT"


class Stage(Enum):
    """Say how urgent a stop is."""

    WARM = "warm"
    """What runs may end, within the grace."""

    SOFT = "soft"
    """What runs may end, within the time between a warm stop and a cold one."""

    COLD = "cold"
    """What runs is killed, and goes back to its queue."""

    NOW = "now"
    """Nothing is waited for any more; others find out what this node held."""


class Stopping:
    """Follow a stop from its first signal on.

    Args:
        soft_timeout: seconds of the stage SOFT (`worker_soft_shutdown_timeout`); 0 leaves it out.
        term_is: the signal that SIGTERM stands for (`REMAP_SIGTERM`), or None.
    """

    def __init__(self, *, soft_timeout: float = 0.0, term_is: str | None = None) -> None:
        self._soft_timeout = soft_timeout
        self._term_is = term_is
        self.stage: Stage | None = None

    def next(self, signal: str) -> Stage:
        """Take a signal: a first one asks what runs to end, each further one and SIGQUIT are more urgent."""
        name = self._term_is if signal == "SIGTERM" and self._term_is else signal
        match self.stage:
            case None if name != COLD_SIGNAL:
                self.stage = Stage.WARM
            case None | Stage.WARM:
                self.stage = Stage.SOFT if self._soft_timeout else Stage.COLD
            case Stage.SOFT:
                self.stage = Stage.COLD
            case _:
                self.stage = Stage.NOW
        return self.stage

    def note_stop(self) -> None:
        """Take it that the node stops warmly without a signal."""
        if self.stage is None:
            self.stage = Stage.WARM
