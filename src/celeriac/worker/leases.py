"""Show that this node lives, and take over the work of nodes that do not."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from celeriac.brokers.base import Consumer, Incarnation
from celeriac.clock import until_tick
from celeriac.exceptions import LeaseLost, OperationalError
from celeriac.worker.background import Background
from celeriac.worker.held import Holdings

logger: Final = logging.getLogger("celeriac.worker")

BEAT_EVERY: Final = 2.0
"""Seconds between two raises of the lease; not for tuning."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the other owners."""

_RECONCILE_EVERY: Final = 5


class Leases:
    """Extend this owner's lease, recover from dead ones, compare what the store says with what is held.

    Args:
        lease_lost: called when this node was declared dead; makes it a new owner.
        on_beat: called when the lease was extended.
    """

    def __init__(
        self,
        consumer: Consumer,
        incarnation: Incarnation,
        holdings: Holdings,
        *,
        lease_lost: Callable[[], Awaitable[None]],
        on_beat: Callable[[], None],
    ) -> None:
        self._consumer = consumer
        self._incarnation = incarnation
        self._holdings = holdings
        self._lease_lost = lease_lost
        self._on_beat = on_beat
        self._loops = (
            Background(lambda: self._every(BEAT_EVERY, self._beat), "lease"),
            Background(lambda: self._every(LOOK_EVERY, self._look), "recovery"),
        )
        self._namesakes: set[str] = set()
        self._seen: set[str] = set()
        self._beats = 0

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            await loop.stop()

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        lost = False
        while True:
            try:
                if lost:
                    await self._lease_lost()
                    lost = False
                await act()
            except LeaseLost as exc:
                logger.warning("%s; beginning again as a new owner", exc)
                lost = True
                continue
            except OperationalError as exc:
                logger.warning("%s; trying again in %.0f s", exc, seconds)
            except Exception:
                logger.exception("the lease could not be seen to; trying again in %.0f s", seconds)
            await asyncio.sleep(until_tick(seconds))

    async def _beat(self) -> None:
        await self._consumer.extend()
        self._on_beat()
        self._beats += 1
        await self._warn_of_namesakes()
        if self._beats % _RECONCILE_EVERY == 0:
            held = {one.delivery.tag for one in self._holdings.all() if self._consumer.holds(one.delivery)}
            released = await self._consumer.reconcile(held)
            if released:
                logger.warning("%d claims that this node did not know of went back to their queues", released)

    async def _look(self) -> None:
        recovered = await self._consumer.recover()
        if recovered:
            logger.warning("%d messages of a dead node went back to their queues", recovered)

    def _has_gone(self, peer: Incarnation) -> bool:
        mine = self._incarnation
        return (peer.host, peer.boot_id) == (mine.host, mine.boot_id) and not _exists(peer.pid)

    async def _warn_of_namesakes(self) -> None:
        """Two nodes of one name both work; but people and commands cannot tell them apart.

        One that died just now, such as this node's own predecessor, is none: it is declared dead between two looks,
        or its process is known to have gone.
        """
        peers = await self._consumer.peers()
        seen, self._seen = self._seen, {peer.token for peer in peers}
        for peer in peers:
            if peer.node != self._incarnation.node or peer.token in self._namesakes:
                continue
            if peer.token in seen and not self._has_gone(peer):
                self._namesakes.add(peer.token)
                logger.warning(
                    "DuplicateNodenameWarning: another node is named %s too: pid %d on host %s; "
                    "give each its own name with -n",
                    peer.node,
                    peer.pid,
                    peer.host,
                )


def _exists(pid: int) -> bool:
    """Say whether this machine runs a process of that number, anybody's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
