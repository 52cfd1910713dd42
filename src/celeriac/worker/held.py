"""What a node holds: the messages that it has claimed and not settled."""

from __future__ import annotations

import msgspec

from celeriac.app.events.task_events import Says
from celeriac.brokers.base import Delivery, Room
from celeriac.brokers.revocations import Revocation
from celeriac.wire.protocol import Intake
from celeriac.worker.runs import Ended


class TimeLimit(msgspec.Struct, frozen=True, gc=False):
    """Say how long a run may take, in seconds; None is for ever.

    Attributes:
        hard: then it is killed.
        soft: then it is told.
    """

    hard: float | None
    soft: float | None

    @property
    def first(self) -> float:
        """Seconds until something is to be done."""
        return min(limit for limit in (self.hard, self.soft) if limit is not None)


class Verdict(msgspec.Struct, frozen=True):
    """Say what a run comes to that is ended from outside.

    Attributes:
        state: FAILURE, or REVOKED.
        error: what its record says.
        signum: the signal that somebody wanted it to be ended by, or None.
    """

    state: str
    error: Exception
    signum: int | None = None


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
        time_limit: how long its run may take, or None.
        began_at: monotonic instant at which its run began; where a child runs several, at which it was sent.
        is_soft_told: the body was told that its soft limit is over; `is_hard_told` where nothing can be killed.
        revocation: because of which the run is being ended, or None.
        verdict: what the run comes to when its child dies, because it is being ended; or None.
        if_killed: what the run comes to when its child is killed for the sake of another, because it was told to end
            itself; or None.
        is_watched: events are sent of it; `is_start_told`: of its start, too.
        says: the events that are to be sent when its end is stored.
        ended: this is no run, but what is to be called after one (`aftermath.py`); or None.
    """

    number: int
    delivery: Delivery
    intake: Intake
    claimed_at: float
    expected: float
    room: Room | None = None
    acked: bool = False
    time_limit: TimeLimit | None = None
    began_at: float = 0.0
    is_soft_told: bool = False
    is_hard_told: bool = False
    revocation: Revocation | None = None
    verdict: Verdict | None = None
    if_killed: Verdict | None = None
    is_watched: bool = False
    is_start_told: bool = False
    says: tuple[Says, ...] = ()
    ended: Ended | None = None


class Holdings:
    """Know what is held, from the claim to the settlement."""

    def __init__(self) -> None:
        self._by_number: dict[int, Held] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def add(
        self,
        delivery: Delivery,
        intake: Intake,
        *,
        now: float,
        expected: float,
        room: Room | None = None,
        time_limit: TimeLimit | None = None,
        is_watched: bool = False,
    ) -> Held:
        self._last += 1
        held = Held(self._last, delivery, intake, now, expected, room, time_limit=time_limit, is_watched=is_watched)
        self._by_number[self._last] = held
        return held

    def new_number(self) -> int:
        """Return a number for what is not held."""
        self._last += 1
        return self._last

    def remove(self, held: Held) -> None:
        self._by_number.pop(held.number, None)

    def all(self) -> list[Held]:
        """Return what is held now."""
        return list(self._by_number.values())
