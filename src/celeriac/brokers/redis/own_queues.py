"""Be there for what is said to everybody, in the queues that this node has for itself (`broadcasts.py`)."""

from __future__ import annotations

import time
from collections.abc import Sequence

from celeriac.brokers.declared import Declared
from celeriac.brokers.redis.async_link import AsyncLink
from celeriac.brokers.redis.broadcasts import HEARD_FOR, Heard, Hearing, entry_of, is_own
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.ownership import ASK_WITHIN, Ownership


class OwnQueues:
    """Hear for one owner.

    Attributes:
        names: the queues in which what is said is kept now.
    """

    def __init__(self, link: AsyncLink, own: Ownership, keys: Keys, declared: Declared) -> None:
        self.names: tuple[str, ...] = ()
        self._link = link
        self._own = own
        self._keys = keys
        self._declared = declared
        self._hearing: Hearing | None = None

    def begin(self) -> None:
        """Be another owner, who has no such queue yet."""
        self.names = ()

    async def stop(self) -> None:
        """Hear nothing any more. May be called twice, or before anything was heard."""
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.stop()

    async def hear(self, queues: Sequence[str]) -> None:
        """Be there for what is said to everybody, in the queues of this node that are for that."""
        own = tuple(queue for queue in queues if is_own(self._declared.queue(queue)))
        if own == self.names:
            return
        leads = {queue: self._declared.leads_to(queue) for queue in own}
        for queue in filter(self._declared.belongs_to_node, own):
            await self._link.call(
                "HSET", self._keys.broadcasts, queue, entry_of(self._own.owner, leads[queue]), timeout=ASK_WITHIN
            )
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            await hearing.stop()
        if own:
            made = Hearing(self._link.place, self._link.options, self._keys, leads, self._keep_heard)
            await made.start(time.monotonic() + ASK_WITHIN)
            self._hearing = made
        self.names = own

    async def _keep_heard(self, heard: Sequence[Heard]) -> None:
        names = [name for one in heard for name in (one.list_name, one.note)]
        await self._own.run("hear", names, [*(one.envelope for one in heard), HEARD_FOR])
