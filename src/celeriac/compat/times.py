"""What Celery has in `celery.utils.time` and `celery.utils.iso8601`: instants, durations and rates."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from celeriac.compat.text import pluralize

_PER: Final = {"s": 1, "m": 60, "h": 3600}
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class _Zones:
    """Find time zones, and tell the time in them: Celery's `timezone`."""

    @cached_property
    def utc(self) -> tzinfo:
        """The zone UTC."""
        return ZoneInfo("UTC")

    @cached_property
    def local(self) -> tzinfo:
        """The zone of this machine."""
        import tzlocal  # 3 ms, and most programs are in UTC

        return tzlocal.get_localzone()

    def get_timezone(self, zone: str | tzinfo) -> tzinfo:
        """Return the zone of that name; a zone as it is."""
        return ZoneInfo(zone) if isinstance(zone, str) else zone

    def tz_or_local(self, tzinfo: str | tzinfo | None = None) -> tzinfo:
        """Return the zone, or this machine's for None."""
        return self.local if tzinfo is None else self.get_timezone(tzinfo)

    def to_local(self, dt: datetime, local: str | tzinfo | None = None, orig: str | tzinfo | None = None) -> datetime:
        """Tell an instant in another zone; one without a zone is meant in `orig`, or UTC."""
        if is_naive(dt):
            dt = make_aware(dt, self.get_timezone(orig or self.utc))
        return dt.astimezone(self.tz_or_local(local))

    def to_system(self, dt: datetime) -> datetime:
        """Tell an instant in the zone of this machine."""
        return dt.astimezone()


timezone: Final = _Zones()


def maybe_timedelta(delta: float | timedelta) -> timedelta:
    """Return seconds as a timedelta, and a timedelta as it is."""
    return delta if isinstance(delta, timedelta) else timedelta(seconds=delta)


def rate(text: str | float | None) -> float:
    """Return how many a second ``"100/m"``, ``"2/h"``, ``"0.5/s"`` or a number is; 0 for nothing."""
    if not isinstance(text, str):
        return text or 0
    count, _, unit = text.partition("/")
    return float(count) / _PER[unit or "s"] if text else 0


def weekday(name: str) -> int:
    """Return the number of a day of the week, from 0 for Sunday.

    Raises:
        KeyError: there is no such day.
    """
    try:
        return _WEEKDAYS.index(name[:3].lower())
    except ValueError:
        raise KeyError(name) from None


def humanize_seconds(secs: float, prefix: str = "", sep: str = "", now: str = "now", microseconds: bool = False) -> str:
    """Say seconds in the largest unit that fits: ``1.50 minutes``.

    Args:
        prefix: written before, unless it is `now`.
        sep: between the two.
        now: what less than a second is called.
        microseconds: say less than a second as a fraction of one.
    """
    secs = round(float(secs), 2)
    for unit, length in _UNITS:
        if secs >= length:
            return f"{prefix}{sep}{secs / length:.2f} {pluralize(secs / length, unit)}"
    return f"{prefix}{sep}{secs:.2f} seconds" if microseconds and secs > 0 else now


def parse_iso8601(text: str) -> datetime:
    """Read an instant in ISO 8601."""
    return datetime.fromisoformat(text)


def maybe_iso8601(dt: datetime | str | None) -> datetime | None:
    """Read an instant in ISO 8601; a datetime stays as it is, and nothing None."""
    if not dt:
        return None
    return parse_iso8601(dt) if isinstance(dt, str) else dt


def is_naive(dt: datetime) -> bool:
    """Tell whether an instant is without a zone."""
    return dt.utcoffset() is None


def make_aware(dt: datetime, tz: tzinfo) -> datetime:
    """Say in which zone an instant is meant.

    One that a change of clocks makes twice is the first of the two; one that it leaves out is as much later.
    """
    return dt.replace(tzinfo=tz, fold=0).astimezone(UTC).astimezone(tz)


def localize(dt: datetime, tz: tzinfo) -> datetime:
    """Tell an instant in another zone; one without a zone is meant in that one."""
    return make_aware(dt, tz) if is_naive(dt) else dt.astimezone(tz)


def to_utc(dt: datetime) -> datetime:
    """Say that an instant is meant in UTC."""
    return make_aware(dt, timezone.utc)


def maybe_make_aware(dt: datetime, tz: str | tzinfo | None = None, naive_as_utc: bool = True) -> datetime:
    """Give an instant without a zone one.

    Args:
        tz: the zone it is told in afterwards; None for UTC.
        naive_as_utc: it is meant in UTC, and not in `tz`.
    """
    if not is_naive(dt):
        return dt
    zone = timezone.utc if tz is None else timezone.get_timezone(tz)
    return localize(to_utc(dt) if naive_as_utc else dt, zone)


def add_seconds_to_datetime(dt: datetime, seconds: float) -> datetime:
    """Return the instant so many seconds later, also when clocks change in between."""
    later = timedelta(seconds=seconds)
    return dt + later if is_naive(dt) else (dt.astimezone(UTC) + later).astimezone(dt.tzinfo)


def subtract_datetimes(end: datetime, start: datetime) -> timedelta:
    """Return the time between two instants, also when clocks change in between; without a zone they are in UTC."""
    return maybe_make_aware(end).astimezone(UTC) - maybe_make_aware(start).astimezone(UTC)


def get_exponential_backoff_interval(factor: int, retries: int, maximum: int, full_jitter: bool = False) -> int:
    """Return the seconds to wait before another attempt: ``factor * 2 ** retries``, at most `maximum`.

    Args:
        full_jitter: wait a random time between 0 and that.
    """
    wait = min(maximum, factor * 2**retries)
    return max(0, random.randrange(wait + 1) if full_jitter else wait)
