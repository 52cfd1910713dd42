"""What a node holds: the messages that it has claimed and not settled."""

from __future__ import annotations

import msgspec

from celeriac.brokers.base import Delivery, Room
from celeriac.wire.protocol import Intake


class Held(msgspec.Struct, eq=False, gc=False):
    """Follow one message through this node.

    Attributes:
        number: names the run in this node; never 0, which is a child's "ready".
        delivery: the claim.
        intake: what was read of its headers.
        claimed_at: monotonic instant.
        expected: seconds that its run will take, as far as is known.
        room: what its run is inside of, or is to enter; or None.
        acked: it was acked before its run (`acks_late=False`): the store has forgotten it.
    """

    number: int
    delivery: Delivery
    intake: Intake
    claimed_at: float
    expected: float
    room: Room | None = None
    acked: bool = False


class Holdings:
    """Know what is held, from the claim to the settlement."""

    def __init__(self) -> None:
        self._by_number: dict[int, Held] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def add(self, delivery: Delivery, intake: Intake, *, now: float, expected: float, room: Room | None = None) -> Held:
        self._last += 1
        held = Held(self._last, delivery, intake, now, expected, room)
        self._by_number[self._last] = held
        return held

    def remove(self, held: Held) -> None:
        self._by_number.pop(held.number, None)

    def all(self) -> list[Held]:
        """Return what is held now."""
        return list(self._by_number.values())
