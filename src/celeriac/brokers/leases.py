"""Tell from counters alone which owners are dead: the rule that every store without a better one uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEAD_AFTER: Final = 8.0
"""Seconds of the watcher's time for which an owner's counter must stand still."""

ANSWER_WITHIN: Final = 2.0
"""Seconds after which an answer of the store comes too late to say anything about others."""


class Watcher:
    """Tell whose counter stands still, by this process's own clock.

    No wall clock and no lifetime is involved: a laptop that slept for an hour, or a store that stalled, must not make
    living owners dead.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_at = 0.0

    def stood_still(self, beats: Mapping[int, int], *, asked_at: float, answered_at: float) -> set[int]:
        """Return the owners whose counter has not moved for `DEAD_AFTER`.

        Args:
            beats: the counters of the other owners, by number, as just read.
            asked_at: monotonic instant at which they were asked for.
            answered_at: monotonic instant of the answer.
        """
        if answered_at - asked_at > ANSWER_WITHIN or answered_at - self._looked_at > DEAD_AFTER / 2:
            self._seen.clear()  # who could not look cannot say that others stood still
        self._looked_at = answered_at
        self._seen = {
            number: seen if (seen := self._seen.get(number)) and seen[0] == beat else (beat, answered_at)
            for number, beat in beats.items()
        }
        return {number for number, (_, since) in self._seen.items() if answered_at - since >= DEAD_AFTER}
