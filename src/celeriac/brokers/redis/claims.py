"""Which lists a claim names, and what its answer hands over. Pure.

An empty claim over 1,000 queues costs the server 1.6 ms. So a node of many queues names those lists that it believes to
hold something, and sixteen other queues, each time the next ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from celeriac.brokers.aging import Aging, lower_in_turn
from celeriac.brokers.base import Delivery
from celeriac.brokers.redis.bookings import read_booking
from celeriac.brokers.redis.keys import Keys
from celeriac.exceptions import DecodeError
from celeriac.message import Message
from celeriac.wire.envelope import read_envelope, read_envelope_end, read_unreadable
from celeriac.wire.limits import DEFAULT_LIMITS

FEW: Final = 16
"""Queues of which all lists are named in each claim; of more queues, so many that nothing is known of."""

BELIEVED_MAX: Final = 64
"""Lists named in one claim because they are believed to hold something."""

TAIL_BYTES: Final = DEFAULT_LIMITS.max_header_bytes + 64 * 1024
"""What is sent of a message that is too large: its end, in which headers and properties are."""

_REDELIVERED: Final = b'"redelivered": true'


class Lists:
    """Choose the lists of a claim, so that priority goes before queues and no queue starves.

    Args:
        order: as the transport option `queue_order_strategy` has it.
        aging: says which claims begin with a lower priority.
    """

    def __init__(self, keys: Keys, order: str, aging: Aging | None = None) -> None:
        self._aging = Aging() if aging is None else aging
        self._keys = keys
        self._order = order
        self._asked_for: tuple[str, ...] = ()
        self._queues: list[str] = []
        self._rows: list[list[bytes]] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._believed: dict[bytes, tuple[int, int]] = {}
        self._turn = 0
        self._probe = 0

    @property
    def many(self) -> bool:
        """True when a claim does not name all lists."""
        return len(self._queues) > FEW

    def all(self) -> Collection[bytes]:
        """Return the lists of all queues."""
        return self._places.keys()

    def all_of(self, queues: Sequence[str]) -> Collection[bytes]:
        """Return the lists of these queues, if a claim from them was the last one and names all lists; else none."""
        return self._places.keys() if not self.many and tuple(queues) == self._asked_for else ()

    def queue_of(self, name: bytes) -> str:
        """Return the queue of a list that `choose` has named."""
        return self._queues[self._places[name][1]]

    def choose(self, queues: Sequence[str], *, all_of_them: bool = False) -> list[bytes]:
        """Return the lists that a claim is to name, in the order in which they are to be served."""
        if tuple(queues) != self._asked_for:
            self._learn_queues(queues)
        first = lower_in_turn(range(len(self._rows)), self._aging.turn()) or 0
        if all_of_them or not self.many:
            turn, rows = self._turn, self._rows[first:] + self._rows[:first] if first else self._rows
            return [name for row in rows for name in row[turn:] + row[:turn]]
        return self._probable(first)

    def _learn_queues(self, queues: Sequence[str]) -> None:
        self._asked_for = tuple(queues)
        self._queues = sorted(set(queues)) if self._order == "sorted" else list(dict.fromkeys(queues))
        self._rows = [list(row) for row in zip(*map(self._keys.lists_of, self._queues), strict=True)]
        self._places = {name: (step, at) for step, row in enumerate(self._rows) for at, name in enumerate(row)}
        self._believed = {name: self._places[name] for name in self._believed if name in self._places}
        self._turn = self._probe = 0

    def _probable(self, first: int) -> list[bytes]:
        count, turn = len(self._queues), self._turn
        believed = sorted(self._believed, key=lambda name: self._rank(self._believed[name], turn, count))[:BELIEVED_MAX]
        others = [(self._probe + number) % count for number in range(FEW)]
        self._probe = (self._probe + FEW) % count
        named = set(believed)
        named.update(row[at] for row in self._rows for at in others)
        ranked = sorted(named, key=lambda name: self._rank(self._places[name], turn, count))
        return sorted(ranked, key=lambda name: self._places[name][0] < first) if first else ranked

    @staticmethod
    def _rank(place: tuple[int, int], turn: int, count: int) -> tuple[int, int]:
        step, at = place
        return step, (at - turn) % count

    def learn(self, named: Sequence[bytes], *, empty: int, served: bytes | None) -> None:
        """Take note of what a claim has found.

        Args:
            named: the lists that it named.
            empty: how many of them, from the first on, are empty now.
            served: the last list that gave something; the next claim begins behind its queue.
        """
        for name in named[:empty]:
            self._believed.pop(name, None)
        if empty < len(named):
            self.believe(named[empty : empty + 1])
        if served is not None and self._order == "round_robin":
            self._turn = (self._places[served][1] + 1) % len(self._queues)

    def believe(self, names: Iterable[bytes]) -> None:
        """Name these lists in the next claim: somebody says that they hold something."""
        self._believed.update((name, self._places[name]) for name in names if name in self._places)


class Taken(msgspec.Struct, gc=False):
    """Tell what a claim has come to.

    Attributes:
        deliveries: what was taken and may be handed out.
        early: what was taken from a list although its ETA is to come.
        now: the server's clock.
        left_nothing: the lists that were named are empty now.
        next_due_at: when the next delayed message is due; None when there is none, or when something was left.
        more_due: the set of delayed messages may hold more that is due.
        errors: lists that could not be read, each with what Redis said.
        stepped_back: a list was left to others this time; it may hold something still.
        any_replaced: there are runs that others have replaced.
        revocations: version of what is revoked.
    """

    deliveries: list[Delivery]
    early: list[Delivery]
    now: float
    left_nothing: bool
    next_due_at: float | None
    more_due: bool
    errors: list[tuple[bytes, str]]
    stepped_back: bool
    any_replaced: bool
    revocations: int


def read_claim(
    answer: Sequence[Any], named: Sequence[bytes], lists: Lists, *, first: int, owner: int, max_bytes: int
) -> Taken:
    """Read the answer of the claim script, and have `lists` learn from it.

    Args:
        named: the lists that were named.
        first: tag of the first message.
        max_bytes: larger messages are handed over without what makes them large.
    """
    _, now_text, due_text, more_due, empty, runs, counts, sizes, errors, envelopes, *rest = answer
    stepped_back, bookings, any_replaced, version = rest
    now = float(now_text)
    sized = dict(zip(sizes[::2], sizes[1::2], strict=True))
    counted = dict(zip(counts[::2], counts[1::2], strict=True))
    booked = dict(zip(bookings[::2], bookings[1::2], strict=True))
    deliveries: list[Delivery] = []
    early: list[Delivery] = []
    served = None
    at = 0
    for index, many in zip(runs[::2], runs[1::2], strict=True):
        served = named[index - 1]
        queue = lists.queue_of(served)
        for envelope in envelopes[at : at + many]:
            at += 1
            message, fault = _read(envelope, queue, sized.get(at), max_bytes)
            delivery = _deliver(message, fault, first + at - 1, owner, counted.get(at))
            if booked and at in booked:
                delivery = msgspec.structs.replace(delivery, booking=read_booking(booked[at]))
            is_early = message.eta_at is not None and message.eta_at > now and fault is None
            (early if is_early else deliveries).append(delivery)
    lists.learn(named, empty=empty, served=served)
    return Taken(
        deliveries,
        early,
        now,
        empty == len(named),
        float(due_text) if due_text else None,
        bool(more_due),
        [
            (named[index - 1], text.decode(errors="replace"))
            for index, text in zip(errors[::2], errors[1::2], strict=True)
        ],
        bool(stepped_back),
        bool(any_replaced),
        int(version),
    )


def _deliver(message: Message, fault: str | None, tag: int, owner: int, entry: bytes | None) -> Delivery:
    if entry is None:
        properties = message.properties
        redelivered = properties is not None and _REDELIVERED in properties
        return Delivery(tag=tag, owner=owner, message=message, redelivered=redelivered, fault=fault)
    crashes, node_losses, releases, *_ = map(int, entry.split(b","))
    return Delivery(
        tag=tag,
        owner=owner,
        message=message,
        crashes=crashes,
        node_losses=node_losses,
        releases=releases,
        redelivered=True,
        fault=fault,
    )


def _read(envelope: bytes, queue: str, size: int | None, max_bytes: int) -> tuple[Message, str | None]:
    """Return what can be had of a message, and why that is not all of it, or None."""
    try:
        if size is not None:
            return read_envelope_end(envelope, queue=queue), _too_large(size, max_bytes)
        message = read_envelope(envelope, queue=queue)
    except DecodeError as exc:
        if size is not None:
            unreadable = read_unreadable(envelope, queue=queue)
            return msgspec.structs.replace(unreadable, body=b""), _too_large(size, max_bytes)
        return read_unreadable(envelope, queue=queue), str(exc)
    if len(envelope) > max_bytes and message.size_bytes > max_bytes:  # an envelope is larger than its message
        headers = message.headers if len(message.headers) <= max_bytes else b""
        fault = _too_large(message.size_bytes, max_bytes)
        return msgspec.structs.replace(message, headers=headers, body=b"", properties=None), fault
    return message, None


def _too_large(size: int, max_bytes: int) -> str:
    return f"message is {size:,} bytes; message_max_bytes allows {max_bytes:,}"
