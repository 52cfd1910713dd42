"""Leave Redis to Celery's workers: dead nodes' claims and future messages go back into Celery's lists."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.base import Incarnation
from celeriac.brokers.leases import DEAD_AFTER, Watcher
from celeriac.brokers.leaving import Leaving
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.link import Link
from celeriac.brokers.redis.scripts import script

_SHARE: Final = 500
_LOOK_EVERY: Final = 0.5
_WATCHED_FOR: Final = DEAD_AFTER + 4.0
_ANSWERS_WITHIN: Final = 5.0


class RedisLeaving(Leaving):
    """Do it in one database.

    Args:
        link: returns this process's link to it.
        keys: names of what is in it.
        clock, sleep: monotonic seconds, and how to let some pass; for tests.
    """

    def __init__(
        self,
        link: Callable[[], Link],
        keys: Keys,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock
        self._sleep = sleep

    def living(self) -> list[Incarnation]:
        """Do as `Leaving.living`."""
        watcher, first, living = Watcher(), self._beats(), set[int]()
        until = self._clock() + _WATCHED_FOR
        while True:
            asked_at = self._clock()
            beats = self._beats()
            still = watcher.stood_still(beats, asked_at=asked_at, answered_at=self._clock())
            for owner in still:
                self._condemn(owner, beats[owner])
            living = {owner for owner, beat in beats.items() if owner not in still}
            moved = {owner for owner in living if first.get(owner) != beats[owner]}
            if living == moved or self._clock() > until:
                return self._incarnations(living)
            self._sleep(_LOOK_EVERY)

    def recover(self) -> int:
        """Do as `Leaving.recover`."""
        moved = 0
        for owner in map(int, self._call("SMEMBERS", self._keys.dying)):
            keys = [
                *(self._keys.dying, self._keys.held(owner), self._keys.started(owner), self._keys.counts),
                *(self._keys.delayed, self._keys.delayed_counts),
            ]
            left = 1
            while left:
                share, left = self._run("recover", keys, [owner, 0, _SHARE])
                moved += share
                if not share:
                    break  # another process was quicker
        return moved

    def undelay(self, queues: Collection[str] | None = None) -> Mapping[str, int]:
        """Do as `Leaving.undelay`."""
        lists = [name for queue in queues or () for name in self._keys.lists_of(queue)]
        moved: Counter[str] = Counter()
        if queues is not None and not lists:
            return moved
        position = 0
        while True:
            keys = [self._keys.delayed, self._keys.delayed_counts, *lists]
            stay, *counts = self._run("undelay", keys, [position, _SHARE])
            for name, count in zip(counts[::2], counts[1::2], strict=True):
                moved[self._keys.queue_of(name)] += count
            if not stay and not counts:
                return moved
            position += stay

    def announce_end(self) -> None:
        """Do as `Leaving.announce_end`."""
        self._call("DEL", self._keys.alive)

    def _beats(self) -> dict[int, int]:
        found = self._call("HGETALL", self._keys.beats)
        return {int(owner): int(beat) for owner, beat in zip(found[::2], found[1::2], strict=True)}

    def _condemn(self, owner: int, beat: int) -> None:
        keys = [self._keys.owners, self._keys.epochs, self._keys.beats, self._keys.dying]
        self._run("condemn", keys, [owner, beat])

    def _incarnations(self, owners: Collection[int]) -> list[Incarnation]:
        found = [self._call("HGET", self._keys.owners, owner) for owner in sorted(owners)]
        return [msgspec.json.decode(text, type=Incarnation) for text in found if text]

    def _call(self, *words: bytes | str | int) -> Any:
        return self._link().call(*words, deadline_at=time.monotonic() + _ANSWERS_WITHIN, repeatable=True)

    def _run(self, name: str, keys: Sequence[bytes], args: Sequence[int]) -> Any:
        return self._link().run(script(name), keys, args, deadline_at=time.monotonic() + _ANSWERS_WITHIN)
