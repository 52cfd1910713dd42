"""Results as messages: each goes to the queue that its call named, as Celery's `rpc://` sends them.

Nothing is kept. Who called has a queue of its own for all answers to this process, and what comes there is held here
until somebody asks for it; nobody else can read it. So there is nothing to count members of a chord in, and nothing to
tell that a run has ended before.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import ClassVar, Final

from celeriac.backends.base import ResultBackend, StoredResult
from celeriac.backends.loop_waits import waits_of
from celeriac.backends.rpc.replies import LoopBell, Replies
from celeriac.brokers.amqp.carried import Carried, Outgoing
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.amqp.publisher import Publisher
from celeriac.brokers.base import ResultMeta
from celeriac.states import READY_STATES
from celeriac.wire.properties import PERSISTENT

_ANSWER_WITHIN: Final = 10.0
_TRANSIENT: Final = 1


class RpcBackend(ResultBackend):
    """Send results to their callers.

    Args:
        place: the broker's own.
        expires: seconds after which the queue of a caller goes that is not there any more, a minute at most.
        persistent: results outlive a restart of the server (`result_persistent`).
        content_type: of records, as they are serialized.
    """

    expires_by_itself: ClassVar[bool] = True
    sends_answers: ClassVar[bool] = True

    def __init__(
        self, place: AmqpPlace, options: AmqpOptions, *, expires: float | None, persistent: bool, content_type: str
    ) -> None:
        self.place = place
        self._publisher = Publisher(place, options)
        self._replies = Replies.at(place, options, expires)
        self._mode = PERSISTENT if persistent else _TRANSIENT
        self._content_type = content_type

    @property
    def url(self) -> str:
        return f"rpc:// over {self.place.url}"

    def answers_to(self) -> str:
        return self._replies.open()

    # -- the side that has run ----------------------------------------------------------------------------------

    def store(self, results: Sequence[ResultMeta], *, once: bool = False) -> None:
        outgoing = [self.answer(one) for one in results if one.reply_to]
        if outgoing:
            self._publisher.publish(outgoing, deadline_at=time.monotonic() + _ANSWER_WITHIN)

    def note(self, results: Sequence[ResultMeta]) -> None:
        self.store(results)

    def answer(self, result: ResultMeta) -> Outgoing:
        """Return how a result is sent."""
        properties = {
            "correlation_id": result.correlation_id or result.task_id,
            "delivery_mode": self._mode,
            "content_type": self._content_type,
            "content_encoding": "utf-8" if "json" in self._content_type else "binary",
            "priority": 0,
        }
        carried = Carried({}, properties, result.record)
        return Outgoing(carried, "", result.reply_to or "", mandatory=False)  # who asked may have gone

    # -- the side that has called -------------------------------------------------------------------------------

    def get(self, task_id: str) -> StoredResult | None:
        return self.get_many([task_id]).get(task_id)

    def get_many(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return self._replies.among(task_ids)

    def wait(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        return self._replies.wait(task_ids, timeout)

    async def wait_async(self, task_ids: Collection[str], *, timeout: float | None) -> dict[str, StoredResult]:
        self._replies.open()
        waits = waits_of(("rpc", self.place), self._final, lambda: LoopBell(self._replies))
        return await waits.wait(task_ids, timeout=timeout)

    async def get_async(self, task_id: str) -> StoredResult | None:
        return self.get(task_id)

    def _final(self, task_ids: Collection[str]) -> dict[str, StoredResult]:
        return {name: one for name, one in self.get_many(task_ids).items() if one.state in READY_STATES}

    def forget(self, task_ids: Collection[str]) -> None:
        self._replies.forget(task_ids)

    def expire(self) -> int:
        return 0

    def close(self) -> None:
        self._publisher.close()
