"""Decide what happens to a claimed message. Pure: facts in, a decision out."""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.brokers.base import Delivery
from celeriac.brokers.revocations import Revocation, error_of
from celeriac.exceptions import DecodeError, MessageTooLarge, NotRegistered, TaskRevokedError, WorkerLostError
from celeriac.wire.protocol import Intake

_CRASH_DELAYS: Final = (1.0, 4.0, 16.0)
_UNKNOWN_DELAY_MAX: Final = 30.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the settings that decisions depend on.

    Attributes:
        max_crashes: `task_max_crashes`.
        max_node_losses: `task_max_node_losses`.
        unknown_release_for: `task_unknown_release_for`, seconds.
    """

    max_crashes: int = 3
    max_node_losses: int = 10
    unknown_release_for: float = 600.0


class RunNow(msgspec.Struct, frozen=True):
    """Hand it to a slot."""


class HoldUntil(msgspec.Struct, frozen=True):
    """Put it back until its time has come."""

    eta_at: float


class Drop(msgspec.Struct, frozen=True):
    """Nobody wants it any more: record REVOKED with this error and be done."""

    error: TaskRevokedError


class PassOn(msgspec.Struct, frozen=True):
    """Leave it to nodes that know the task."""

    eta_at: float


class Bury(msgspec.Struct, frozen=True):
    """It cannot be run: dead-letter it, and answer with this error."""

    error: Exception
    reason: str


Decision = RunNow | HoldUntil | Drop | PassOn | Bury


def decide(
    delivery: Delivery,
    intake: Intake,
    *,
    known: bool,
    now: float,
    policy: Policy,
    revocation: Revocation | None = None,
) -> Decision:
    """Decide the fate of one readable message.

    What is revoked is dropped, whatever else is true of it: nobody wants it, and it kills nobody. What killed others
    comes next. What another run has replaced is dropped. Expiry wins over ETA: a task that nobody wants any more is
    dropped now, not kept until its ETA.

    Args:
        delivery: the claim, with its counters.
        intake: what could be read of its headers.
        known: the task is registered here.
        now: the store's clock, as the claim returned it.
        policy: the node's settings.
        revocation: of its id, or None.
    """
    if revocation is not None:
        return Drop(error_of(revocation))
    if delivery.crashes >= policy.max_crashes:
        text = f"the process that ran it died {delivery.crashes} times"
        return Bury(WorkerLostError(text), text)
    if delivery.node_losses >= policy.max_node_losses:
        text = f"{delivery.node_losses} nodes died after starting it"
        return Bury(WorkerLostError(text), text)
    if delivery.replaced_by is not None:
        return Drop(TaskRevokedError("replaced"))
    if intake.expires_at is not None and intake.expires_at <= now:
        return Drop(TaskRevokedError("expired"))
    if not known:
        return _pass_on(delivery, intake, now, policy)
    if intake.eta_at is not None and intake.eta_at > now:
        return HoldUntil(intake.eta_at)
    return RunNow()


def decide_unreadable(delivery: Delivery, error: DecodeError | None) -> Bury:
    """Decide the fate of a message whose headers cannot be had."""
    if delivery.fault is not None:
        kind = MessageTooLarge if "message_max_bytes" in delivery.fault else DecodeError
        return Bury(kind(delivery.fault), delivery.fault)
    return Bury(error or DecodeError("unreadable headers"), str(error))


def _pass_on(delivery: Delivery, intake: Intake, now: float, policy: Policy) -> Decision:
    passed = unknown_for(delivery.releases)
    if passed >= policy.unknown_release_for:
        reason = f"no node registered task {intake.task!r} within {passed:.0f} s; deploy it, then: celeriac dlq replay"
        return Bury(NotRegistered(intake.task), reason)
    return PassOn(now + unknown_delay(delivery.releases))


def unknown_delay(releases: int) -> float:
    """Return the seconds for which the next release of an unknown task keeps it back: 1, 2, 4 … 30."""
    return min(2.0 ** min(releases, 10), _UNKNOWN_DELAY_MAX)


def unknown_for(releases: int) -> float:
    """Return the seconds that so many releases of an unknown task have taken."""
    return sum(unknown_delay(number) for number in range(min(releases, 10_000)))


def crash_delay(crashes: int) -> float:
    """Return the seconds between a message's crash and its next run: 1, 4, 16 after the first, second, third."""
    return _CRASH_DELAYS[min(max(crashes, 1), len(_CRASH_DELAYS)) - 1]
