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
    """Say where on the wire a delivery can be acknowledged.

    Attributes:
        serial: of the connection.
        tag: on one of its channels.
        is_copy: on the channel of copies (`hold.py`), not on that of the queues of tasks.
    """

    serial: int
    tag: int
    is_copy: bool = False


class Held(msgspec.Struct, gc=False):
    """Be one message that this node holds.

    Attributes:
        run: what it is a run of; the same message has it again.
        place: None while its channel is gone.
        losses: how often it has come back.
        acked_on: serial of the last connection of which the message cannot come again as if nothing stood for it: it
            was acknowledged there because a copy stands for it, or it was known before; 0 when there is no copy.
    """

    delivery: Delivery
    run: str
    place: Place | None
    losses: int = 0
    acked_on: int = 0


class Holdings:
    """Know what is held, by the tags of deliveries."""

    def __init__(self) -> None:
        self._by_tag: dict[int, Held] = {}
        self._by_run: dict[str, Held] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._unacked: dict[int, None] = {}
        self._by_copy: set[int] = set()

    def __len__(self) -> int:
        return len(self._by_tag)

    def __contains__(self, tag: object) -> bool:
        return tag in self._by_tag

    def add(self, held: Held) -> None:
        """Hold what has come."""
        assert held.place is not None
        self._by_tag[held.delivery.tag] = held
        self._by_run[held.run] = held
        self.note_place(held.place)

    def note_place(self, place: Place) -> None:
        """Know that something is to be acknowledged there, so that nobody does it in passing."""
        if not place.is_copy:
            self._unacked[place.tag] = None

    def leave(self, place: Place) -> None:
        """Know that something is acknowledged there, or given back."""
        if not place.is_copy:
            self._unacked.pop(place.tag, None)

    def get(self, tag: int) -> Held | None:
        """Return what is held under a delivery's tag."""
        return self._by_tag.get(tag)

    def upto(self, tag: int) -> Iterator[Held]:
        """Yield what is held under tags that are not higher than this, the oldest first."""
        for each, held in self._by_tag.items():
            if each > tag:
                return
            yield held

    def adopt(self, run: str, place: Place) -> bool:
        """Let a redelivery take the place of what is held and has lost its channel; say whether it did."""
        held = self._by_run.get(run)
        if held is None or held.place is not None:
            return False
        held.place = place
        if held.acked_on:
            held.acked_on = place.serial
        self.note_place(place)
        return True

    def is_spare(self, run: str, serial: int) -> bool:
        """Say whether a redelivery has a copy that stands for it: that it was acknowledged got lost."""
        held = self._by_run.get(run)
        if held is None or not 0 < held.acked_on < serial:
            return False
        held.acked_on = serial
        return True

    def move(self, tag: int, place: Place) -> Place | None:
        """Let a copy stand for what is held; return where what stood for it until now is to be acknowledged."""
        held = self._by_tag[tag]
        before, held.place = held.place, place
        held.acked_on = held.acked_on or (place.serial - 1 if before is None else before.serial)
        if place.is_copy:
            self._by_copy.add(tag)
        else:  # it comes from the queue of its task, where it went when it had waited long enough
            self._by_copy.discard(tag)
        self.note_place(place)
        return before

    def has_ended(self, run: str) -> bool:
        """Say whether a run ended here while its message could not be acknowledged."""
        return self._ended.pop(run, False) is None

    def note_ended(self, run: str) -> None:
        """Know that a run has ended whose message comes again."""
        self._ended[run] = None
        if len(self._ended) > _ENDED_MAX:
            self._ended.popitem(last=False)

    def remove(self, tag: int) -> Held | None:
        """Hold a message no longer, and return it; where it was is to be left (`leave`)."""
        held = self._by_tag.pop(tag, None)
        self._by_copy.discard(tag)
        if held is not None and self._by_run.get(held.run) is held:
            del self._by_run[held.run]
        return held

    def lose_channel(self) -> None:
        """Note that the connection is gone: whatever is held has to be adopted before it can be acknowledged."""
        self._unacked.clear()
        self._by_copy.clear()
        for held in self._by_tag.values():
            held.place = None

    def clear(self) -> None:
        """Hold nothing, and know of nothing that has ended."""
        for each in (self._by_tag, self._by_run, self._ended, self._unacked, self._by_copy):
            each.clear()

    @property
    def needs_room(self) -> int:
        """Number of messages that the server has to let us have at once: what copies stand for is not among them."""
        return len(self._by_tag) - len(self._by_copy)

    def count_placed(self) -> int:
        """Count what of that can be acknowledged on the present connection."""
        return sum(held.place is not None and not held.place.is_copy for held in self._by_tag.values())

    def count_unplaced(self) -> int:
        """Count what has lost its channel, and is to come again."""
        return sum(held.place is None for held in self._by_tag.values())

    def oldest(self) -> int | None:
        """Return the lowest tag of the present channel that is not acknowledged, or None when there is none."""
        return next(iter(self._unacked), None)

    def besides(self, tags: Collection[int]) -> Iterator[Held]:
        """Yield what is held under other tags than these."""
        kept = set(tags)
        yield from [held for tag, held in self._by_tag.items() if tag not in kept]
