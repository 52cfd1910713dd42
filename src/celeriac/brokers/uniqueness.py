"""Who has a unique key: what becomes of a message that wants one. Pure: adapters keep the `Holder` of each key."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from celeriac.brokers.base import Conflict
from celeriac.message import Message, OnConflict, Unique

REPLACED_FOR: Final = 30 * 86_400.0
"""Seconds for which it is kept that a run was replaced, should its message never be claimed."""


class Holder(msgspec.Struct, frozen=True, gc=False):
    """Be the run that has a key, until a unix instant."""

    task_id: str
    until: float


class Verdict(enum.Enum):
    """Say what is to be done with a message.

    TAKE: store it, and give it the key. PASS: store it without. YIELD: likewise, as replaced. REFUSE: leave it out.
    """

    TAKE = "take"
    PASS = "pass"
    YIELD = "yield"
    REFUSE = "refuse"


class Refused(Exception):
    """Say, inside of an adapter, that a batch is not published because of one of its messages."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict


def judge(unique: Unique, task_id: str, holder: Holder | None, now: float) -> Verdict:
    """Decide about a message that wants a key, which `holder` has or had.

    Args:
        now: the store's clock.
    """
    if holder is None or holder.until <= now or unique.on_conflict is OnConflict.REPLACE:
        return Verdict.TAKE
    if unique.on_conflict in (OnConflict.SKIP, OnConflict.RAISE):
        return Verdict.REFUSE
    if holder.task_id == task_id:
        return Verdict.TAKE
    return Verdict.PASS if unique.on_conflict is OnConflict.KEEP else Verdict.YIELD


def is_replaced(holder: Holder | None, task_id: str, now: float) -> bool:
    """Say whether taking the key from `holder` for a run replaces another one that still counted."""
    return holder is not None and holder.until > now and holder.task_id != task_id


def until_of(message: Message, unique: Unique, now: float) -> float:
    """Return the unix instant at which the key of a message ends by itself."""
    return max(now, message.eta_at or now) + unique.lasts
