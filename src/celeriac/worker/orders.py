"""What the supervisor says to a child about what runs there: orders, on a line of their own beside the work.

A child that runs a body reads no packets. So an order is put into the line and the child is woken by a signal, whose
handler reads it (`interrupts.py`). An order names the run that it is for: one that comes too late is for nobody.
"""

from __future__ import annotations

import socket
from typing import Final, Literal

import msgspec

from celeriac.worker import packets

ORDER_SIGNAL: Final = "SIGUSR1"
"""Name of the signal that has a child read its line."""

_TEXT_MAX: Final = 2_000


class Interrupt(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Raise something in the body of a run.

    Attributes:
        number: the run's.
        kind: soft raises `SoftTimeLimitExceeded`; hard `TimeLimitExceeded`, where nothing can be killed; cancel
            `TaskCancelled`.
        seconds: the limit, for hard.
        reason, by: what the one who cancels has said, and who that is.
    """

    number: int
    kind: Literal["soft", "hard", "cancel"]
    seconds: float | None = None
    reason: str | None = None
    by: str | None = None


class Signal(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """End a run by a signal that children leave to the supervisor otherwise, such as SIGTERM.

    A handler that the body has installed gets it; without one the process dies at once.
    """

    number: int
    signal: int


class Leave(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """End the process at once, with an exit code of its own (pool `solo`)."""


class Replaced(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Know, for the exit code, that another child takes this one's place, which ends when its current runs have."""


Order = Interrupt | Signal | Leave | Replaced

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Order).decode


def send_order(line: socket.socket, order: Order) -> bool:
    """Put an order into a child's line; say whether there was room, and somebody to read it."""
    try:
        line.send(_encode(order), packets.DONT_WAIT)
    except OSError:
        return False
    return True


def read_orders(line: socket.socket) -> list[Order]:
    """Take the orders that have come in, without waiting.

    Called from a signal handler, which may have interrupted anything: it shares no buffer with `packets`.
    """
    found: list[Order] = []
    while True:
        try:
            data = line.recv(packets.MAX_PACKET, packets.DONT_WAIT)
        except OSError:
            return found
        if not data:
            return found
        found.append(_decode(data))


def bounded(text: str | None) -> str | None:
    """Cut what people say to what an order carries."""
    return text if text is None else text[:_TEXT_MAX]
