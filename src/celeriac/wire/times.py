"""Instants: unix seconds inside, ISO 8601 text on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

# What Celery's reader accepts and `fromisoformat` of Python 3.11 does not, by length: year, month, day of the year.
_UNUSUAL: Final = {4: "%Y", 7: "%Y-%m", 8: "%Y-%j"}

_YEAR_9999: Final = 253_370_764_800


def iso_text(at: float, *, zone: tzinfo = UTC) -> str:
    """Spell a unix instant as Celery does: with offset, and microseconds only when there are any."""
    if zone is UTC and 0 <= at < _YEAR_9999:
        # 0.4 µs instead of 1.0: the calls of one second mostly expire, or start, within one other second.
        second = int(at)
        micro = round((at - second) * 1e6)
        if 0 < micro < 1_000_000:
            return f"{_until_the_second(second)}.{micro:06}+00:00"
    return datetime.fromtimestamp(at, zone).isoformat()


@lru_cache(maxsize=256)
def _until_the_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]


def parse_iso(text: str, *, zone: tzinfo = UTC) -> float:
    """Return the unix instant that an ISO 8601 text names.

    Args:
        text: any common form: ``Z``, an offset, fractions, a date alone, even a month or a year alone.
        zone: what a text without offset is meant in.

    Raises:
        ValueError: the text names no instant.
    """
    moment = _parse(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()


def parse_certain_iso(text: str) -> float | None:
    """Return the instant that an ISO 8601 text names to everybody; None when it says no offset.

    Raises:
        ValueError: the text names no instant.
    """
    moment = _parse(text)
    return None if moment.tzinfo is None else moment.timestamp()


def _parse(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _parse_unusual(text)


def _parse_unusual(text: str) -> datetime:
    try:
        if text[-1:] == "z":
            return datetime.fromisoformat(f"{text[:-1]}+00:00")
        return datetime.strptime(text, _UNUSUAL[len(text)])
    except (ValueError, KeyError):
        raise ValueError(f"{text[:40]!r} is not an ISO 8601 time") from None
