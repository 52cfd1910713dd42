"""The other owners of a database: who they are, and giving back what the dead among them held."""

from __future__ import annotations

from celeriac.brokers.base import Incarnation
from celeriac.brokers.leases import Watcher
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.owners import read_owners
from celeriac.brokers.redis.ownership import ASK_WITHIN, SHARE, Ownership
from celeriac.clock import Clock
from celeriac.exceptions import BrokerUnavailable


class Peers:
    """Watch the others for one owner."""

    def __init__(self, link: AsyncLink, own: Ownership, keys: Keys, clock: Clock) -> None:
        self._link = link
        self._own = own
        self._keys = keys
        self._clock = clock
        self._watcher = Watcher()
        self._watched_in = 0

    def watch_anew(self) -> None:
        """Forget what was seen of the others."""
        self._watcher = Watcher()

    async def described(self) -> list[Incarnation]:
        """Return who is registered beside this owner."""
        described = await self._link.call("HGETALL", self._keys.owners, timeout=ASK_WITHIN)
        return [one.incarnation for one in read_owners(described) if one.owner != self._own.owner]

    async def recover(self) -> int:
        """Declare dead who stands still, give back what the dead held, and return how many messages that were."""
        beats, dying = await self._watched()
        recovered = 0
        for owner, beat in beats.items():
            keys = self._keys
            names = [keys.owners, keys.epochs, keys.beats, keys.dying]
            if await self._own.run("condemn", names, [owner, beat]):
                dying.append(owner)
        for owner in dying:
            recovered += await self._recover_from(owner)
        return recovered

    async def _watched(self) -> tuple[dict[int, int], list[int]]:
        """Return the owners that stand still, with their counters, and those declared dead before."""
        if self._link.epoch != self._watched_in:
            self._watched_in, self._watcher = self._link.epoch, Watcher()
        asked_at = self._clock.monotonic()
        try:
            counters, dying = await self._own.run("look", [self._keys.beats, self._keys.dying], [])
        except BrokerUnavailable:
            self._watcher = Watcher()  # who gets no answer cannot say that others stood still
            raise
        beats = {
            int(owner): int(beat)
            for owner, beat in zip(counters[::2], counters[1::2], strict=True)
            if owner.isdigit() and beat.isdigit() and int(owner) != self._own.owner
        }
        still = self._watcher.stood_still(beats, asked_at=asked_at, answered_at=self._clock.monotonic())
        return {owner: beats[owner] for owner in still}, [int(owner) for owner in dying if owner.isdigit()]

    async def _recover_from(self, owner: int) -> int:
        keys, ahead = self._keys, self._own.lead()
        names = [keys.dying, keys.held(owner), keys.started(owner), keys.counts, keys.delayed, keys.delayed_counts]
        moved = 0
        while True:
            share, left = await self._own.run("recover", names, [owner, ahead, SHARE])
            moved += int(share)
            if not left:
                return moved
