from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from celeriac import Celery
from celeriac.brokers.base import Delivery
from celeriac.testing.worlds import a_message
from celeriac.wire.protocol import Intake
from celeriac.worker.held import Held, Holdings
from celeriac.worker.node_events import NodeEvents


class Looks:
    """See what a test says that there is."""

    def __init__(self) -> None:
        self.held_now: list[Held] = []

    def held(self) -> Iterable[Held]:
        return self.held_now

    def running_now(self) -> Iterable[Held]:
        return self.held_now

    def totals(self) -> dict[str, int]:
        return {}


async def test_a_run_that_a_settlement_has_claimed_is_told_to_begin_after_it_was_received():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        looks, gathered = Looks(), list[Any]()
        events = NodeEvents(app, "w1@here", looks, freq=None, of_tasks=True)
        events._add = lambda event: gathered.append(json.loads(event))
        events.on = True
        message = a_message("id-1")
        held = Holdings().add(
            Delivery(tag=1, owner=1, message=message),
            Intake("shop.pay", "id-1", None, None, 0, None, 2),
            now=1.0,
            expected=0.0,
        )
        held.is_watched, held.began_at = True, 1.0

        events.put_off_received()
        events.received(message, "shop.pay", None)
        looks.held_now.append(held)
        assert events._note_started(), "it is asked again"  # what is gathered goes out in this turn of the loop
        await asyncio.sleep(0)
        assert not events._note_started()

        assert [event["type"] for event in gathered] == ["task-received", "task-started"]
