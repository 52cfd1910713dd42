"""Act on revocations: what this node holds of the revoked ids is dropped, or ended where it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from celeriac.app.revoking import revocations_of
from celeriac.brokers.revocations import Revocation, error_of
from celeriac.clock import until_tick
from celeriac.exceptions import OperationalError
from celeriac.wire.stamps import Stamps, is_stamp_id, stamp_ids, stamps_of
from celeriac.worker.background import Background
from celeriac.worker.decide import Drop
from celeriac.worker.dropping import Dropper
from celeriac.worker.held import Held, Holdings
from celeriac.worker.revoked import Revoked
from celeriac.worker.slots import Slots

logger: Final = logging.getLogger("celeriac.worker")

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at what is revoked while something is held: a broadcast may be lost, and a node that is
busy does not claim."""


class Revoking:
    """Keep this node from running what is revoked.

    Args:
        revoked: what this node knows.
        end_run: called with a message that is with a child and a revocation that ends runs; it decides whether the run
            is under way still.
    """

    def __init__(
        self,
        revoked: Revoked,
        holdings: Holdings,
        slots: Slots,
        dropper: Dropper,
        *,
        end_run: Callable[[Held, Revocation], None],
    ) -> None:
        self.revoked = revoked
        self._holdings = holdings
        self._slots = slots
        self._dropper = dropper
        self._end_run = end_run
        self._loop = Background(self._look, "revocations")

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    async def refresh(self) -> None:
        """Learn what was revoked since the last time, and act on it.

        Raises:
            OperationalError: the store does not answer.
        """
        news = await self.revoked.refresh()
        if news:
            self._apply(news)

    def held_of(self, task_ids: Collection[str]) -> list[str]:
        """Return those ids of which this node holds a message."""
        wanted = set(task_ids)
        return list(dict.fromkeys(held.intake.id for held in self._holdings.all() if held.intake.id in wanted))

    def revoke_here(self, revocations: Sequence[Revocation]) -> None:
        """Revoke ids for this node alone, until it ends."""
        for one in revocations:
            self.revoked.add_here(one)
        self._apply(revocations)

    def _apply(self, revocations: Sequence[Revocation]) -> None:
        concerned = self._concerned({one.task_id: one for one in revocations})
        if not concerned:
            return
        dropped = {held.number for held in self._slots.take_out([held for held, _ in concerned])}
        for held, revocation in concerned:
            try:
                if held.number in dropped:
                    self._drop(held, revocation)
                elif revocation.ends_runs:
                    self._end_run(held, revocation)
            except Exception:  # the others must not stay between the slots and their ends
                logger.exception("%s[%s] could not be revoked here", held.intake.task, held.intake.id)

    def _concerned(self, by_id: Mapping[str, Revocation]) -> list[tuple[Held, Revocation]]:
        """Return what is held of revoked ids and stamps, each message with what revokes it."""
        held_now = self._holdings.all()
        found = [(held, by_id[held.intake.id]) for held in held_now if held.intake.id in by_id]
        if any(map(is_stamp_id, by_id)):
            for held in held_now:
                ids = stamp_ids(stamps_of(held.delivery.message.headers))
                revocation = next((by_id[one] for one in ids if one in by_id), None)
                if revocation is not None and held.intake.id not in by_id:
                    found.append((held, revocation))
        return found

    def running_with(self, stamps: Stamps) -> dict[str, set[str]]:
        """Return which of some stamps are on messages that children have here."""
        found: dict[str, set[str]] = {}
        for held in self._slots.with_children():
            there = stamps_of(held.delivery.message.headers)
            for name, values in stamps.items():
                if common := set(values) & set(there.get(name, ())):
                    found.setdefault(name, set()).update(common)
        return found

    def revoke_ids_here(self, task_ids: Sequence[str]) -> None:
        """Revoke ids for this node alone, because another node says that they are."""
        self.revoke_here(revocations_of(task_ids))

    async def sifted(self, helds: list[Held], *, version: int) -> list[Held]:
        """Drop the revoked ones among messages that no slot knows of, and return the others.

        Args:
            version: of what is revoked, as the claim of these has told it.

        Raises:
            OperationalError: the store does not answer, so nobody knows what may begin.
        """
        if version != self.revoked.version:
            await self.refresh()
        if self.revoked.is_partial and helds:
            ids = [held.intake.id for held in helds]
            if self.revoked.stamps:
                ids += [one for held in helds for one in stamp_ids(stamps_of(held.delivery.message.headers))]
            found = await self.revoked.among(ids)
            for one in found.values():
                if self.revoked.of(one.task_id) is None:
                    self.revoked.add(one)  # newest again, so that `without_revoked` sees it
        return self.without_revoked(helds)

    def without_revoked(self, helds: list[Held]) -> list[Held]:
        """Do as `sifted`, with what is known here and now."""
        if not self.revoked.any:
            return helds
        left = []
        for held in helds:
            revocation = self.revoked.of_message(held.intake.id, held.delivery.message.headers)
            if revocation is None:
                left.append(held)
            else:
                self._drop(held, revocation)
        return left

    def _drop(self, held: Held, revocation: Revocation) -> None:
        self._dropper.drop(held, Drop(error_of(revocation)))

    async def _look(self) -> None:
        in_trouble = False
        while True:
            await asyncio.sleep(until_tick(LOOK_EVERY))
            if not len(self._holdings):
                continue  # the next claim tells
            try:
                await self.refresh()
                in_trouble = False
            except OperationalError as exc:
                if not in_trouble:
                    logger.warning("cannot look for revocations, trying again every %.0f s: %s", LOOK_EVERY, exc)
                in_trouble = True
            except Exception:
                logger.exception("what was revoked could not be seen to; trying again in %.0f s", LOOK_EVERY)
