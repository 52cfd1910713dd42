"""How long to wait before trying again."""

from __future__ import annotations

import random
from typing import Final

_FIRST: Final = 0.05
_MOST: Final = 1.0  # work is to go on within 2 s of the server's return, also after a long absence


class Backoff:
    """Wait longer after every failure, each time a random share of it, so that a fleet does not come back at once."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait now: up to 0.05 s at first, then up to twice as long each time, at most 1 s."""
        self._failures += 1
        return random.uniform(0.5, 1.0) * min(_FIRST * 2.0 ** min(self._failures - 1, 30), _MOST)
