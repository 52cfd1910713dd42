"""Give back claims of one owner: with or without delay, counted or not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

import msgspec

from celeriac.brokers.base import Release
from celeriac.brokers.redis.keys import Keys
from celeriac.brokers.redis.ownership import SHARE, Ownership
from celeriac.brokers.redis.settling import release_plan
from celeriac.exceptions import LeaseLost


async def release(own: Ownership, keys: Keys, releases: Sequence[Release]) -> None:
    """Give back what is asked for; claims of other owners are passed over."""
    owner = own.owner
    mine = [one for one in releases if one.delivery.owner == owner]
    # The oldest last, over all shares.
    mine.sort(key=lambda one: -one.delivery.tag)
    with suppress(LeaseLost):  # others have all that is left
        for at in range(0, len(mine), SHARE):
            await give_back(own, keys, release_plan(mine[at : at + SHARE]), owner=owner)


async def reconcile(own: Ownership, keys: Keys, held: Collection[int]) -> int:
    """Give back, uncounted, what the owner has by Redis and not by its own knowledge; return how many that were."""
    under_way, owner, moved = own.asked_for(), own.owner, 0
    with suppress(LeaseLost):
        _, tags = await own.ask("holdings", [own.held])
        astray = sorted((tag for tag in map(int, tags) if tag not in held and not under_way(tag)), reverse=True)
        for at in range(0, len(astray), SHARE):
            plan = msgspec.msgpack.encode([(tag, 0, 1, 0, 0, 0) for tag in astray[at : at + SHARE]])
            moved += await give_back(own, keys, plan, owner=owner)
    return moved


async def give_back(own: Ownership, keys: Keys, plan: bytes, *, owner: int) -> int:
    """Give back what a plan names, and return how many messages that were.

    Args:
        owner: whose tags the plan has.

    Raises:
        LeaseLost: that is nobody any more, or this node has become another one.
    """
    if owner != own.owner:
        raise own.lease_lost()
    names = [own.held, own.started, keys.counts, keys.delayed, keys.delayed_counts, keys.bookings]
    _, moved = await own.ask("release", names, noting=True, then=[plan])
    return int(moved)
