from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celeriac.brokers.base import Delivery
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.revocations import Revocation
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker.held import Held, Holdings
from celeriac.worker.revoked import Revoked
from celeriac.worker.revoking import Revoking


class Slots:
    """Be slots in which one run is under way; everything else waits."""

    def __init__(self, running: Held) -> None:
        self._running = running

    def take_out(self, wanted: Iterable[Held]) -> list[Held]:
        return [held for held in wanted if held is not self._running]


class Dropper:
    def __init__(self) -> None:
        self.dropped: list[Held] = []

    def drop(self, held: Held, drop: object) -> None:
        self.dropped.append(held)


def test_a_run_that_cannot_be_ended_keeps_nobody_between_the_slots_and_its_end(caplog):
    def end_run(held: Held, revocation: Revocation) -> None:
        raise KeyError(revocation.signal)

    holdings = Holdings()
    running, waiting = (
        holdings.add(
            Delivery(tag=number, owner=1, message=Message(task_id=f"t{number}", queue="q", headers=b"{}", body=b"")),
            Intake("t", f"t{number}", None, None, 0, None, 2),
            now=0.0,
            expected=0.0,
        )
        for number in (1, 2)
    )
    slots: Any = Slots(running)
    dropper: Any = Dropper()
    revoking = Revoking(Revoked(MemoryBroker("revoking")), holdings, slots, dropper, end_run=end_run)

    revoking.revoke_here(
        [
            Revocation(task_id=f"t{number}", at=0.0, expires_at=1e12, terminate=True, signal="SIGNONE")
            for number in (1, 2)
        ]
    )

    assert dropper.dropped == [waiting]
    assert "t[t1] could not be revoked here" in caplog.text
