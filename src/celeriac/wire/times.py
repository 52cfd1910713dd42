"""Instants: unix seconds inside, ISO 8601 text on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

# What Celery's reader accepts and `fromisoformat` of Python 3.11 does not, by length: year, month, day of the year.
_UNUSUAL: Final = {4: "%Y", 7: "%Y-%m", 8: "%Y-%j"}


def iso_text(at: float, *, zone: tzinfo = UTC) -> str:
    """Spell a unix instant as Celery does: with offset, and microseconds only when there are any."""
    return datetime.fromtimestamp(at, zone).isoformat()


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
