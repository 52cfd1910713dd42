"""Who waits for which results, and which channels are to be listened to for that. Pure: no I/O, no locks, no clock.

What was asked for stays of interest for a while after its waiter has left: who waits for many runs comes back for the
rest, again and again, and neither subscribing nor looking is done again for those.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from celeriac.backends.base import StoredResult

_WIDE: Final = 16
"""Ids from which a waiter is found by going through all such waiters, and not by id."""


class Waiter:
    """Wait for the first of some runs to end.

    Args:
        task_ids: the runs.
        tell: called once, from any thread, when there is something in `found` or `error`.

    Attributes:
        found: final records so far.
        error: why nothing can be found, or None.
    """

    __slots__ = ("_tell", "error", "found", "ids", "told")

    def __init__(self, task_ids: Collection[str], tell: Callable[[], None]) -> None:
        self.ids = frozenset(task_ids)
        self.found: dict[str, StoredResult] = {}
        self.error: Exception | None = None
        self.told = False
        self._tell = tell

    def tell(self) -> None:
        """Wake whoever waits; what comes after the first time is for nobody."""
        if not self.told:
            self.told = True
            self._tell()


class Interests:
    """Know the waiters, and the ids whose channels are listened to on their behalf."""

    def __init__(self) -> None:
        self.heard_of: set[str] = set()
        """Ids that are subscribed to, or are about to be, and have been looked at since, or are about to be."""
        self.ended: set[str] = set()
        """Ids that are subscribed to, and need not be any more. Whoever unsubscribes empties it."""
        self._by_id: dict[str, list[Waiter]] = {}
        self._wide: list[Waiter] = []
        self._unclaimed: dict[str, StoredResult] = {}
        self._left: set[str] = set()
        self._left_before: set[str] = set()

    def enter(self, waiter: Waiter) -> set[str]:
        """Begin to give results to a waiter; return the ids that are to be subscribed to and looked at for that.

        What has come since somebody else waited for it is given at once.
        """
        new = set(waiter.ids - self.heard_of)
        for task_id in [one for one in self._unclaimed if one in waiter.ids]:
            waiter.found[task_id] = self._unclaimed.pop(task_id)
            self._end(task_id)
        self.heard_of |= new
        if len(waiter.ids) > _WIDE:
            self._wide.append(waiter)
        else:
            for task_id in waiter.ids:
                self._by_id.setdefault(task_id, []).append(waiter)
        return new

    def leave(self, waiter: Waiter) -> None:
        """Give nothing more to a waiter."""
        if len(waiter.ids) > _WIDE:
            self._wide.remove(waiter)
        else:
            for task_id in waiter.ids:
                others = self._by_id[task_id]
                others.remove(waiter)
                if not others:
                    del self._by_id[task_id]
        if len(waiter.found) < len(waiter.ids):
            self._left |= waiter.ids

    def hear(self, found: Iterable[StoredResult]) -> list[Waiter]:
        """Give final records to those who wait for them; return the waiters to tell."""
        happy: list[Waiter] = []
        for result in found:
            task_id = result.task_id
            waiters = list(self._by_id.get(task_id, ()))
            if self._wide:
                waiters += [one for one in self._wide if task_id in one.ids]
            if waiters:
                for waiter in waiters:
                    waiter.found[task_id] = result
                happy += waiters
                self._end(task_id)
            elif task_id in self.heard_of:
                self._unclaimed[task_id] = result
        return happy

    def _end(self, task_id: str) -> None:
        self.heard_of.discard(task_id)
        self.ended.add(task_id)

    def waiters(self) -> list[Waiter]:
        """Return everybody."""
        return list({id(one): one for waiting in self._by_id.values() for one in waiting}.values()) + self._wide

    def is_anybody_there(self) -> bool:
        """Say whether somebody waits."""
        return bool(self._by_id or self._wide)

    def awaited(self) -> set[str]:
        """Return the ids that somebody waits for now."""
        return set(self._by_id).union(*(one.ids for one in self._wide))

    def start_again(self) -> set[str]:
        """Forget what was listened to, with the connection; return the ids to begin with on the next one."""
        self._unclaimed.clear()
        self.ended.clear()
        self._left.clear()
        self._left_before.clear()
        self.heard_of = self.awaited()
        return set(self.heard_of)

    def forget(self, task_ids: Collection[str]) -> None:
        """Keep nothing of these runs: their records were deleted."""
        if self._unclaimed:
            gone = [one for one in task_ids if self._unclaimed.pop(one, None) is not None]
            self._left.difference_update(gone)
            self._left_before.difference_update(gone)

    def lose_interest(self) -> None:
        """End what nobody has waited for since the call before this one, or longer. Called now and then."""
        if self.heard_of:
            unwanted = self.heard_of - self.awaited() - self._left - self._left_before
            self.heard_of -= unwanted
            self.ended |= unwanted
            for task_id in unwanted & self._unclaimed.keys():
                del self._unclaimed[task_id]
        self._left_before, self._left = self._left, set()
