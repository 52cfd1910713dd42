"""What a worker has been given and not acknowledged. Pure.

A message that a node is at work on comes again when its channel was lost: RabbitMQ has put it back. It is *adopted*
then: the new delivery takes the place of the one before, and nothing begins. So a run survives a blip of the
connection, however long it takes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from celeriac.brokers.base import Delivery

_ENDED_MAX: Final = 10_000


class Place(msgspec.Struct, frozen=True, gc=False):
    """Say where on the wire a delivery can be acknowledged."""

    serial: int
    tag: int


class Held(msgspec.Struct, gc=False):
    """Be one message that this node holds.

    Attributes:
        run: what it is a run of; the same message has it again.
        place: None while its channel is gone.
    """

    delivery: Delivery
    run: str
    place: Place | None


class Holdings:
    """Know what is held, by the tags of deliveries."""

    def __init__(self) -> None:
        self._by_tag: dict[int, Held] = {}
        self._by_run: dict[str, Held] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._unacked: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._by_tag)

    def add(self, held: Held) -> None:
        """Hold what has come."""
        assert held.place is not None
        self._by_tag[held.delivery.tag] = held
        self._by_run[held.run] = held
        self._unacked[held.place.tag] = held.delivery.tag

    def get(self, tag: int) -> Held | None:
        """Return what is held under a delivery's tag."""
        return self._by_tag.get(tag)

    def adopt(self, run: str, place: Place) -> bool:
        """Let a redelivery take the place of what is held and has lost its channel; say whether it did."""
        held = self._by_run.get(run)
        if held is None or held.place is not None:
            return False
        held.place = place
        self._unacked[place.tag] = held.delivery.tag
        return True

    def has_ended(self, run: str) -> bool:
        """Say whether a run ended here while its message could not be acknowledged."""
        return self._ended.pop(run, False) is None

    def end(self, tag: int) -> Place | None:
        """Note that a run has ended; return where its message can be acknowledged, or None: when it comes again."""
        held = self._by_tag.get(tag)
        if held is not None and held.place is None:
            self._ended[held.run] = None
            if len(self._ended) > _ENDED_MAX:
                self._ended.popitem(last=False)
        return self.remove(tag)

    def remove(self, tag: int) -> Place | None:
        """Hold a message no longer; return where it can be given back, or None when its channel is gone."""
        held = self._by_tag.pop(tag, None)
        if held is None:
            return None
        if self._by_run.get(held.run) is held:
            del self._by_run[held.run]
        if held.place is not None:
            self._unacked.pop(held.place.tag, None)
        return held.place

    def lose_channel(self) -> None:
        """Note that the channel is gone: whatever is held has to be adopted before it can be acknowledged."""
        self._unacked.clear()
        for held in self._by_tag.values():
            held.place = None

    def oldest(self) -> int | None:
        """Return the lowest wire tag that is held on the present channel, or None when none is."""
        return next(iter(self._unacked), None)

    def besides(self, tags: Collection[int]) -> Iterator[Held]:
        """Yield what is held under other tags than these."""
        kept = set(tags)
        yield from [held for tag, held in self._by_tag.items() if tag not in kept]
