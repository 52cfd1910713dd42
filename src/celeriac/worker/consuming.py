"""Which queues a node consumes; they may change while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from celeriac.brokers.topology import Queue

NAME_MAX: Final = 255

QUEUES_MAX: Final = 10_000
"""Queues of one node."""


class Consuming:
    """Hold the names of the queues that are claimed from.

    Args:
        names: at the start.
        besides: claimed from as well, for the node's own purposes; nobody adds these or cancels them.

    Attributes:
        names: now; another tuple after each change.
        claimed: all that is claimed from; likewise.
        listed_here: those that the app did not list before.
    """

    def __init__(self, names: Iterable[str], *, besides: Iterable[str] = ()) -> None:
        self._besides = tuple(besides)
        self._set(dict.fromkeys(names))
        self.listed_here: set[str] = set()

    def check(self, name: str) -> None:
        """Refuse what cannot be consumed.

        Raises:
            ValueError: that is no name of a queue, or there are too many.
        """
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
            raise ValueError(f"a queue has a name of 1 to {NAME_MAX} characters, got {name!r:.100}")
        if len(self.names) >= QUEUES_MAX:
            raise ValueError(f"this node consumes {QUEUES_MAX:,} queues already; cancel some, or start another node")

    def _set(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self.claimed = tuple(dict.fromkeys((*self.names, *self._besides)))

    def add(self, name: str) -> bool:
        """Consume one more queue, from the next claim on; False when it is consumed already.

        Raises:
            ValueError: that is no name of a queue, or there are too many.
        """
        if name in self.names:
            return False
        self.check(name)
        self._set((*self.names, name))
        return True

    def cancel(self, name: str) -> bool:
        """Consume a queue no more; False when it was not consumed. Nothing of it is begun that is claimed after this.

        A node may be left without any queue: it waits for one to be added.
        """
        if name not in self.names:
            return False
        self._set(one for one in self.names if one != name)
        return True


def no_ack_concern(names: Iterable[str], listed: Mapping[str, Queue]) -> str | None:
    """Say that queues of a node are to forget what they hand over, which they do not; None: none of them is."""
    in_vain = sorted(name for name in names if name in listed and listed[name].no_ack)
    if not in_vain:
        return None
    return (
        f"no_ack=True has no effect, and these queues say it: {', '.join(in_vain)}. A message stays with the broker "
        "until what its run has come to is stored, so that a crash loses none. Leave it out of task_queues; tasks that "
        "must never run twice say acks_late=False"
    )
