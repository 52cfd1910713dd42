"""When a node that is to stop at the end of its work (`--burst`) has come to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from celeriac.brokers.base import QueueDepth

_WAIT_HOLDING: Final = 0.1
"""Seconds that a claim waits while something is held: what runs may end meanwhile, and be the last."""

_WAIT_EMPTY: Final = 0.05
"""Seconds that the claim waits which is to find nothing; a broker promotes many due messages in several steps."""

_WAIT_OVER: Final = 1.0


class Burst:
    """End a node when its queues are empty: nothing that could start now waits, and nothing is under way here.

    What waits for its time does not keep the node: messages with an ETA, retries with a delay, runs that a limit keeps
    from starting. Nor does what other nodes have claimed.

    Args:
        depths: counts what the queues hold that the node consumes; called in a thread.
        end: called once, in the thread of `finish`, with a line that says what is left.
    """

    def __init__(
        self,
        depths: Callable[[], Iterable[QueueDepth]],
        *,
        end: Callable[[str], None],
    ) -> None:
        self._depths = depths
        self._end = end
        self._over = False

    def wait(self, held: int) -> float:
        """Return the seconds that the next claim is to wait for messages."""
        if self._over:
            return _WAIT_OVER
        return _WAIT_HOLDING if held else _WAIT_EMPTY

    def look(self) -> str | None:
        """Return what is left, in words, when the queues are empty, else None. Blocks while the broker is asked.

        To be called when a claim found nothing that was made while nothing was held here. What a run publishes is
        published before the node lets go of the run, so nothing of this node can come any more. The claim alone does
        not tell, because one may name a part of many queues only.

        Raises:
            BrokerUnavailable: the broker could not be asked.
        """
        depths = list(self._depths())
        if any(depth.ready for depth in depths):
            return None
        return _what_is_left(sum(depth.delayed for depth in depths))

    def finish(self, left: str) -> None:
        """End the node; of several calls the first counts."""
        if not self._over:
            self._over = True
            self._end(left)


def _what_is_left(delayed: int) -> str:
    if not delayed:
        return "the queues are empty"
    return f"the queues are empty but for {delayed} {'message' if delayed == 1 else 'messages'} to run later"
