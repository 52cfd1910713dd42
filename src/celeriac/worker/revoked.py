"""What a node knows of the ids that are revoked: a copy of what the store keeps, refreshed when its version changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Final

from celeriac.brokers.base import Broker
from celeriac.brokers.revocations import Feed, Revocation
from celeriac.wire.stamps import is_stamp_id, stamp_ids, stamps_of

KEEP: Final = 50_000
"""Ids that a node remembers (15 MB); of others the store is asked, message by message."""


class Revoked:
    """Remember what is revoked.

    Args:
        broker: where it is kept.
        keep: how many are remembered; the oldest make room for newer ones.

    Attributes:
        version: up to which the copy is complete; a claim that tells another one has messages that must wait for
            `refresh`.
        any: something is revoked; else nobody need ask.
        stamps: a stamp is, so messages must be looked into.
        is_partial: the store knows of more than is remembered here: ask `among`.
    """

    def __init__(self, broker: Broker, *, keep: int = KEEP) -> None:
        self._broker = broker
        self._keep = keep
        self._known: dict[str, Revocation] = {}
        self._here: dict[str, Revocation] = {}
        self._reading = asyncio.Lock()
        self.version = 0
        self.any = False
        self.stamps = False
        self.is_partial = False

    def of_message(self, task_id: str, headers: bytes) -> Revocation | None:
        """Return the revocation of a message: of its id, or of one of its stamps."""
        found = self.of(task_id)
        if found is None and self.stamps:
            for stamp_id in stamp_ids(stamps_of(headers)):
                found = self.of(stamp_id)
                if found is not None:
                    return found
        return found

    def ids(self) -> list[str]:
        """Return the ids of tasks that are remembered as revoked, the oldest first."""
        now = time.time()
        return [one.task_id for one in self._known.values() if one.expires_at > now and not is_stamp_id(one.task_id)]

    def of(self, task_id: str) -> Revocation | None:
        """Return the revocation of an id, as far as it is remembered."""
        found = self._known.get(task_id)
        if found is not None and found.expires_at <= time.time():
            del self._known[task_id]
            return None
        return found

    def add_here(self, revocation: Revocation) -> None:
        """Remember one for this node alone, whatever the store says."""
        self._here[revocation.task_id] = revocation
        if len(self._here) > self._keep:
            del self._here[next(iter(self._here))]
        self.add(revocation)

    def add(self, revocation: Revocation) -> None:
        """Remember one, as the newest."""
        self._known.pop(revocation.task_id, None)
        self._known[revocation.task_id] = revocation
        self.any = True
        self.stamps = self.stamps or is_stamp_id(revocation.task_id)
        if len(self._known) > self._keep:
            del self._known[next(iter(self._known))]
            self.is_partial = True

    async def refresh(self) -> list[Revocation]:
        """Ask the store what is new, remember it and return it.

        Raises:
            OperationalError: the store does not answer; what it has told by then is remembered.
        """
        news: list[Revocation] = []
        async with self._reading:
            while True:
                feed = await asyncio.to_thread(self._broker.revocations, self.version)
                news += self._take(feed)
                if not feed.more and feed.version == self.version:
                    return news

    def _take(self, feed: Feed) -> list[Revocation]:
        if feed.version < self.version:  # another store stands in its place, or all is forgotten
            self._known.clear()
            self.any = self.stamps = self.is_partial = False
            self.version = 0
            for one in self._here.values():
                self.add(one)
            return []
        for one in feed.revocations:
            self.add(one)
        self.version = feed.version
        return feed.revocations

    async def among(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations of those ids that are revoked; asks the store where not all is remembered.

        Raises:
            OperationalError: the store does not answer.
        """
        found = {task_id: one for task_id in task_ids if (one := self.of(task_id)) is not None}
        unknown = [task_id for task_id in task_ids if task_id not in found]
        if self.is_partial and unknown:
            found |= await asyncio.to_thread(self._broker.revoked, unknown)
        return found
