"""When runs may start under a rate limit that all nodes of a store share. Pure: adapters keep the `Flow` of each key.

A message asks twice. First it gets its place in the *line*: the next start that nobody has. It waits for that in the
store, untouched, however many wait. When its time has come it passes the *gate*, where runs really start; when nodes
were away or busy, and many are late at once, the gate is what keeps them apart. So a line of any length moves by the
clock, and a message is claimed two times, and one time more for each outage.

Both are the generic cell rate algorithm: all there is to remember is the instant of the next start.
"""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.brokers.base import Booking

_LEAST_TOLERANCE: Final = 0.1
_MOST_TOLERANCE: Final = 1.0


class Flow(msgspec.Struct, frozen=True, gc=False):
    """Remember what was given away under one key.

    Attributes:
        line_at: unix instant of the first start that nobody in the line has.
        gate_at: unix instant of the next start, if all before it were in time.
    """

    line_at: float = 0.0
    gate_at: float = 0.0


def book(flow: Flow, interval: float, booking: Booking | None, now: float) -> tuple[Flow, Booking]:
    """Return when a run may start, and the flow after it; a start that is not after `now` is taken.

    Args:
        flow: what was given away before.
        interval: seconds from one start to the next.
        booking: what this run was given before, or None.
        now: the store's clock.
    """
    line_at = flow.line_at
    if booking is None:
        start = max(now, line_at)
        line_at = start + interval
        if start > now:
            return Flow(line_at, flow.gate_at), Booking(start, False)
    elif booking.is_final and booking.at <= now <= booking.at + tolerance(interval):
        return flow, booking
    start = max(now, flow.gate_at - tolerance(interval))
    return Flow(line_at, max(now, flow.gate_at) + interval), Booking(start, True)


def tolerance(interval: float) -> float:
    """Return the seconds by which a start may come too early or too late without moving those behind it.

    A claim comes a little after the instant that it is for. Without tolerance each such delay would be lost for the
    rate; with it `1 + tolerance / interval` runs may start at once.
    """
    return min(_MOST_TOLERANCE, max(_LEAST_TOLERANCE, interval / 2))
