"""What supervisor and child say to each other: a run to do, and what it came to."""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.brokers.base import ResultMeta
from celeriac.brokers.joins import JoinEffects
from celeriac.message import Message
from celeriac.worker.quotes import Quote


class Ended(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Say how a run has ended whose process cannot tell of it any more.

    Attributes:
        state: FAILURE, or REVOKED.
        kind: name of an exception of ours, raised with `args`.
    """

    state: str
    kind: str
    args: tuple[str | int | float | None, ...]


class Run(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Ask a child for one run.

    Attributes:
        number: names the run inside this node; outcomes carry it back.
        message: what was claimed, still encoded.
        redelivered: True when somebody else has held the message before.
        crashes: earlier runs of the message whose child died under them.
        ended: the run is over, and only what is to be called about that is left; or None.
        is_watched: events are sent of it, so the outcome is to say what they tell.
        was_answered: the body of the message was left out: it is that of the first message of the child's last outcome.
    """

    number: int
    message: Message
    redelivered: bool
    crashes: int
    ended: Ended | None = None
    is_watched: bool = False
    was_answered: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Say what a run came to.

    Attributes:
        number: the run's.
        state: one of `celeriac.states`.
        record: what to store, or None when the result is ignored.
        retries: attempt that this is the outcome of.
        took: seconds between reading the packet and this answer.
        publish: messages that follow.
        dead_reason: why the message is a dead letter, or None.
        requeue: the message is to be delivered again, though its body has run.
        others: records of runs that never begin because of it: the steps of a chain that would have followed.
        joins: what it does to the joins of chords, or None.
        told: what an event says of it, as `app/events/task_events.py` writes it; None of a run that nobody watches.
        quote: tells the body of the first of `publish`, which was left out there, by that of the run's own message; or
            None.
    """

    number: int
    state: str
    record: bytes | None
    retries: int
    took: float
    publish: tuple[Message, ...] = ()
    dead_reason: str | None = None
    requeue: bool = False
    others: tuple[ResultMeta, ...] = ()
    joins: JoinEffects | None = None
    told: str | None = None
    quote: Quote | None = None


REJECTED_REASON: Final = "Reject: "
"""What the reason begins with of a message that its own task has made a dead letter."""

READY = 0
"""Number of the outcome with which a child says that it has come up."""

ARE_YOU_THERE: Final = b"\xc0"
"""Packet that asks a child to answer `READY` once more, when it reads it."""

encode = msgspec.msgpack.Encoder().encode
decode_run = msgspec.msgpack.Decoder(Run).decode
decode_outcome = msgspec.msgpack.Decoder(Outcome).decode
