"""Starts under rate limits as scripts read and keep them. Pure."""

from __future__ import annotations

from celeriac.brokers.base import Booking, RateRequest, Release
from celeriac.brokers.rates import tolerance
from celeriac.brokers.redis.dialing import Word


def request_words(request: RateRequest) -> list[Word]:
    """Write a request as the book script reads it."""
    at, final = ("", 0) if request.booking is None else (repr(request.booking.at), int(request.booking.is_final))
    return [request.key, repr(request.interval), repr(tolerance(request.interval)), at, final]


def read_booking(entry: bytes) -> Booking:
    """Read what is kept of a booking: ``<start>,<written_at>``, the start below 0 for a place in the line."""
    start = float(entry.partition(b",")[0])
    return Booking(abs(start), start > 0)


def booking_word(booking: Booking | None) -> float:
    """Write a booking likewise; 0 for none."""
    if booking is None:
        return 0
    return booking.at if booking.is_final else -booking.at


def waits_for_start(release: Release) -> bool:
    """Say whether a message is given back for nothing but its start, so that nobody has begun with it."""
    booking = release.delivery.booking
    return booking is not None and booking.at == release.eta_at
