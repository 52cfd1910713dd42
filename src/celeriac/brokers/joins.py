"""What a chord waits by: a *join* counts the members of its header. Values only; `backends/joins.py` has the rules.

A join is known by the id of its header's group. Result backends keep it. When all members have ended, an internal
message is published, once; the node that claims it makes the body of the chord.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.message import Message

JOINS_QUEUE: Final = "celeriac:joins"
"""Where the internal messages wait: every node of ours claims from it, and no worker of others does."""

JOIN_EXPIRES: Final = 30 * 86_400.0
"""Seconds for which a join is kept that is not complete; every member that ends renews them."""

JOINED_EXPIRES: Final = 86_400.0
"""Seconds for which it is known that the body of a chord was published, so that nothing starts it once more."""


class JoinStart(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Say how many members a join waits for. Changes nothing of a join that was started before, or is done.

    Attributes:
        group_id: of the header.
        size: members that will report.
        message: published when the join is complete and the member that completes it cannot tell what to publish.
        header: result of the header as `GroupResult.save` writes it, where the body gets lists in lists; or None.
    """

    group_id: str
    size: int
    message: Message | None = None
    header: bytes | None = None


class JoinAddition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Have a join wait for one member more. The same member is added once.

    Attributes:
        group_id: of the header.
        task_id: names the run of the member.
        index: its place in the header, or None.
    """

    group_id: str
    task_id: str
    index: int | None = None


class Member(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Say that a member of a header has ended. The same member, by id and index, is counted once.

    Attributes:
        group_id: of the header.
        task_id: names the run.
        index: its place in the header; None comes behind all others.
        state: SUCCESS, or what fails the chord.
        item: what the body gets of it, as Celery keeps it (`wire/members.py`).
        message: the internal message to publish if this member completes the join; None when it cannot be told.
    """

    group_id: str
    task_id: str
    index: int | None
    state: str
    item: bytes
    message: Message | None = None


class JoinEffects(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Gather what one settlement, or one producer, does to joins; in this order.

    Attributes:
        starts: joins to start.
        additions: members to wait for besides.
        counts: members that have ended.
        joined: ids of groups whose body is published with this, or was before.
    """

    starts: tuple[JoinStart, ...] = ()
    additions: tuple[JoinAddition, ...] = ()
    counts: tuple[Member, ...] = ()
    joined: tuple[str, ...] = ()


def together(effects: Sequence[JoinEffects] | None) -> JoinEffects | None:
    """Return what all of them do, or None when there are none."""
    if not effects:
        return None
    if len(effects) == 1:
        return effects[0]
    return JoinEffects(
        tuple(one for each in effects for one in each.starts),
        tuple(one for each in effects for one in each.additions),
        tuple(one for each in effects for one in each.counts),
        tuple(one for each in effects for one in each.joined),
    )
