"""When a call may start and when it is pointless: what callers say, as instants."""

from __future__ import annotations

import math
from datetime import datetime, tzinfo
from typing import Final

import msgspec

from celeriac.wire.times import iso_text, parse_iso

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Moment(msgspec.Struct, frozen=True, gc=False):
    """Name one instant twice: for machines, and in the text that the message carries.

    Attributes:
        at: unix instant.
        text: ISO 8601 with offset.
    """

    at: float
    text: str


def start_of(countdown: float | None, eta: datetime | str | None, *, now: float, zone: tzinfo) -> Moment | None:
    """Return the instant before which a run may not start, or None for at once.

    A countdown wins over an ETA, as in Celery; one of zero or less means now.

    Raises:
        TypeError, ValueError: what was given names no instant.
    """
    if countdown is not None:
        after = finite_seconds("countdown", countdown)
        return _after("countdown", after, now=now, zone=zone) if after > 0 else None
    if eta is not None:
        return _named("eta", eta, zone=zone)
    return None


def end_of(expires: float | datetime | str | None, *, now: float, zone: tzinfo) -> Moment | None:
    """Return the instant after which a run may not start any more, or None when there is none.

    Raises:
        TypeError, ValueError: what was given names no instant.
    """
    if expires is None:
        return None
    if isinstance(expires, (datetime, str)):
        return _named("expires", expires, zone=zone)
    return _after("expires", finite_seconds("expires", expires), now=now, zone=zone)


def _named(name: str, value: datetime | str, *, zone: tzinfo) -> Moment:
    if isinstance(value, str):
        try:
            at = parse_iso(value, zone=zone)
            return Moment(at, iso_text(at, zone=zone))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be an ISO 8601 time, got {value[:40]!r}") from error
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime or ISO 8601 text, got {value!r}")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    return Moment(moment.timestamp(), moment.isoformat())


def _after(name: str, seconds: float, *, now: float, zone: tzinfo) -> Moment:
    try:
        return Moment(now + seconds, iso_text(now + seconds, zone=zone))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{name} of {seconds:g} s is out of range") from error


def finite_seconds(name: str, value: object) -> float:
    """Return a number of seconds.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number of seconds, got {value}")
    return value


def interval_of(rate: str | float | None) -> float | None:
    """Return the seconds from one start to the next: ``10/m`` is 6, the number 2 (per second) 0.5, 0 and None none."""
    if rate is None:
        return None
    count, _, unit = str(rate).partition("/")
    per_unit = float(count)
    return _SECONDS[unit or "s"] / per_unit if per_unit else None
