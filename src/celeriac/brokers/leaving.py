"""What it takes to leave celeriac for Celery's workers: whatever we keep apart goes back to where they look for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from celeriac.brokers.base import Incarnation


class Leaving(ABC):
    """Put messages back into queues that Celery reads. Every step may be taken again."""

    @abstractmethod
    def living(self) -> list[Incarnation]:
        """Return the nodes that live, after watching those that are registered for up to 12 s.

        The others are declared dead.
        """

    @abstractmethod
    def recover(self) -> int:
        """Put what dead nodes had claimed in front of its queues, and say how many messages that were."""

    @abstractmethod
    def undelay(self, queues: Collection[str] | None = None) -> Mapping[str, int]:
        """Put future messages into their queues, where Celery's workers take them and wait; count them by queue.

        Args:
            queues: only these; None: all.
        """

    @abstractmethod
    def announce_end(self) -> None:
        """Let publishers know that no node lives, so that they leave future messages in the queues from now on."""
