"""The registered owners, as their hash describes them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from celeriac.brokers.base import Incarnation


class Registered(msgspec.Struct, frozen=True):
    """Describe one owner: its number, when it registered by the server's clock, and who it is."""

    owner: int
    registered_at: float
    incarnation: Incarnation


class _Since(msgspec.Struct):
    registered_at: float = 0.0


def read_owners(described: Sequence[bytes]) -> list[Registered]:
    """Read what the hash holds, field and value in turn; in the order of registering. What is not ours is left out."""
    found = []
    for owner, text in zip(described[::2], described[1::2], strict=True):
        try:
            incarnation = msgspec.json.decode(text, type=Incarnation)
            found.append(Registered(int(owner), msgspec.json.decode(text, type=_Since).registered_at, incarnation))
        except (msgspec.MsgspecError, ValueError):
            continue
    return sorted(found, key=lambda one: (one.registered_at, one.owner))
